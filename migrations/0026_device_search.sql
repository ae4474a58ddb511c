-- Why: operators search devices by the beginning of an id or a name, in upper or lower case. Row-level security lets an index serve only
-- comparisons that can't leak, which lower() isn't known for; so the lower-case texts are columns, and their comparisons are bytewise.
ALTER TABLE devices
    ADD COLUMN device_id_lower text GENERATED ALWAYS AS (lower(device_id)) STORED,
    ADD COLUMN name_lower text GENERATED ALWAYS AS (lower(name)) STORED;
CREATE INDEX devices_id_prefix ON devices (tenant, device_id_lower text_pattern_ops);
CREATE INDEX devices_name_prefix ON devices (tenant, name_lower text_pattern_ops);
