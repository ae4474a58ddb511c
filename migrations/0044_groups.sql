-- Why: operators sort devices into groups, filter by them and target them. A static group has a row for each member; a dynamic one has only
-- its filter. A deleted group keeps its own row, for lists that include deleted ones, and none of its members'.
CREATE TABLE groups (
    tenant text NOT NULL,
    group_id text NOT NULL,
    name text,
    description text,
    kind text NOT NULL,
    filter jsonb,
    members bigint NOT NULL,
    deleted boolean NOT NULL,
    version bigint NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, group_id)
);
SELECT waybill_protect('groups');

CREATE TABLE group_members (
    tenant text NOT NULL,
    group_id text NOT NULL,
    device_id text NOT NULL,
    added_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, group_id, device_id)
);
-- The groups of a device.
CREATE INDEX group_members_of_device ON group_members (tenant, device_id, group_id);
SELECT waybill_protect('group_members');
