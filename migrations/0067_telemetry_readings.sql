-- Why: a device sends its measurements in several messages, and what it measured last of each kind is asked for. By name: the value and when it came.
ALTER TABLE telemetry_latest ADD COLUMN readings jsonb NOT NULL DEFAULT '{}';
