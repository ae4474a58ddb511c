-- Why: how a projection is was known to the process that runs it only; the others show what is written here. Errors and parked records
-- name aggregates of all tenants: readers see neither.
ALTER TABLE projection_checkpoints ADD COLUMN state text NOT NULL DEFAULT 'running', ADD COLUMN error text;
REVOKE SELECT ON projection_checkpoints, parked_records FROM waybill_reader;
GRANT SELECT (name, version, position, epoch, incarnation_ms, caught_up_at) ON projection_checkpoints TO waybill_reader;
