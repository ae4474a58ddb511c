-- Why: people look for keys that nobody uses before they revoke them. A use isn't an event, so these rows can't be rebuilt from EVENTS: they
-- are a named exception, no read model, and neither rebuilt nor compared. Each process that lets keys in stores the last use of each, once
-- in a minute at most.
CREATE TABLE api_key_uses (
    tenant text NOT NULL,
    key_id uuid NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, key_id)
);
SELECT waybill_protect('api_key_uses');
