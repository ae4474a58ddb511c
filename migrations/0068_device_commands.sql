-- Why: operators look for what became of the commands that devices run beside their updates. The state is folded from events; `due_at` is when
-- time ends the command, so that its clock survives restarts. A device without commands has no row.
CREATE TABLE device_commands (
    tenant text NOT NULL,
    device_id text NOT NULL,
    n bigint NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    code text,
    message text,
    reason text,
    late_status text,
    created_by text NOT NULL,
    queued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    sent_at timestamptz,
    accepted_at timestamptz,
    ended_at timestamptz,
    due_at timestamptz,
    position bigint NOT NULL,
    params jsonb,
    result jsonb,
    PRIMARY KEY (tenant, device_id, n)
);
CREATE INDEX device_commands_due ON device_commands (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX device_commands_under_way ON device_commands (tenant, device_id) WHERE state IN ('sent', 'accepted');
SELECT waybill_protect('device_commands');
