-- Why: one search finds campaigns, firmware and groups by the beginning of an id or a name, and firmware by the beginning of its digest, too.
-- As for devices (0026): row-level security lets an index serve only bytewise comparisons of columns. These tables are small: a tenant has
-- thousands of rows in them, not millions.
ALTER TABLE campaigns ADD COLUMN name_lower text GENERATED ALWAYS AS (lower(name)) STORED;
CREATE INDEX campaigns_id_prefix ON campaigns (tenant, campaign_id text_pattern_ops);
CREATE INDEX campaigns_name_prefix ON campaigns (tenant, name_lower text_pattern_ops);

ALTER TABLE firmware
    ADD COLUMN name_lower text GENERATED ALWAYS AS (lower(metadata ->> 'name')) STORED,
    ADD COLUMN version_lower text GENERATED ALWAYS AS (lower(version)) STORED,
    ADD COLUMN sha256 text GENERATED ALWAYS AS (bytes ->> 'sha256') STORED;
CREATE INDEX firmware_id_prefix ON firmware (tenant, firmware_id text_pattern_ops);
CREATE INDEX firmware_name_prefix ON firmware (tenant, name_lower text_pattern_ops);
CREATE INDEX firmware_version_prefix ON firmware (tenant, version_lower text_pattern_ops);
CREATE INDEX firmware_sha256_prefix ON firmware (tenant, sha256 text_pattern_ops);

ALTER TABLE groups
    ADD COLUMN group_id_lower text GENERATED ALWAYS AS (lower(group_id)) STORED,
    ADD COLUMN name_lower text GENERATED ALWAYS AS (lower(name)) STORED;
CREATE INDEX groups_id_prefix ON groups (tenant, group_id_lower text_pattern_ops);
CREATE INDEX groups_name_prefix ON groups (tenant, name_lower text_pattern_ops);
