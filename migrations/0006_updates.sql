-- Why: every update with its phase, and the times that its clocks need. `due_at` is when the
-- first of them can run out: the only rows that are looked at for clocks are those behind it.
CREATE TABLE updates (
    tenant text NOT NULL,
    device_id text NOT NULL,
    ordinal bigint NOT NULL,
    campaign_id text,
    wave bigint,
    firmware_id text NOT NULL,
    component text NOT NULL,
    version text NOT NULL,
    kind text NOT NULL,
    priority text NOT NULL,
    from_version text,
    retry_of bigint,
    max_attempts bigint NOT NULL,
    phase text NOT NULL,
    wait_reason text,
    attempt bigint NOT NULL,
    code text,
    code_class text,
    message text,
    reason text,
    queued_at timestamptz NOT NULL,
    wait_until timestamptz NOT NULL,
    reached_at timestamptz,
    phase_since timestamptz NOT NULL,
    not_before timestamptz,
    idle_s double precision NOT NULL,
    limits jsonb NOT NULL,
    preconditions jsonb,
    ended_at timestamptz,
    regressed_at timestamptz,
    late jsonb NOT NULL,
    open boolean NOT NULL,
    due_at timestamptz,
    seq bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, device_id, ordinal)
);
CREATE INDEX updates_newest ON updates (tenant, queued_at, device_id, ordinal);
CREATE INDEX updates_campaign ON updates (tenant, campaign_id, device_id);
CREATE INDEX updates_due ON updates (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX updates_conditional ON updates (tenant, device_id) WHERE open AND wait_reason = 'precondition';
CREATE INDEX updates_waiting ON updates (firmware_id) WHERE open AND phase IN ('queued', 'waiting');
SELECT waybill_protect('updates');

-- Campaigns that stand still: the clocks of what waits in them stand still, too.
CREATE TABLE update_pauses (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    paused_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, campaign_id)
);
SELECT waybill_protect('update_pauses');
