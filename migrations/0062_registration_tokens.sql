-- Why: people look for registration tokens that still admit devices before they revoke them. A token's state is computed when it is read,
-- because it ends by itself. The devices that used it are only counted here: each has its own row.
CREATE TABLE registration_tokens (
    tenant text NOT NULL,
    token_id text NOT NULL,
    device_model text,
    expires_at timestamptz NOT NULL,
    devices_max bigint NOT NULL,
    devices_used bigint NOT NULL,
    revoked boolean NOT NULL,
    scope jsonb NOT NULL,
    version bigint NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, token_id)
);
SELECT waybill_protect('registration_tokens');
