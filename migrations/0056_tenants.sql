-- Why: tenants have a state, quotas and rules, and what advances campaigns must see a freeze in the same snapshot as the campaign. Tenants of an
-- older log are adopted by an event, so no earlier record has a row here.
CREATE TABLE tenants (
    tenant text NOT NULL,
    name text,
    status text NOT NULL,
    frozen boolean NOT NULL,
    state jsonb NOT NULL,
    version bigint NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant)
);
SELECT waybill_protect('tenants');
