-- Why: a device is kept once and an update once. What rollouts and the history kept of a device beside its row stands in that row; a
-- member's phase is the phase of its update. Rows are rebuilt with the projection `fleet`; until then the old ones serve.
ALTER TABLE devices
    ADD COLUMN between_attempts jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN sent jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN tracked jsonb NOT NULL DEFAULT '{}',
    DROP COLUMN updated_at;
-- Which device works is known from its update. An index that the update's beginning and its end write would make each of them write all.
DROP INDEX devices_live;
DROP TABLE rollout_devices;
DROP TABLE device_versions;

ALTER TABLE updates ADD COLUMN before_cancel text;
-- Updates under way.
CREATE INDEX updates_open ON updates (tenant, device_id, ordinal) WHERE open;
CREATE INDEX updates_open_of_campaign ON updates (tenant, campaign_id, device_id) WHERE open AND campaign_id IS NOT NULL;

-- Counts that replies show, kept with those that gates judge.
ALTER TABLE campaign_progress
    ADD COLUMN planned bigint NOT NULL DEFAULT 0,
    ADD COLUMN phases jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN failures jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN late_confirmed bigint NOT NULL DEFAULT 0,
    ADD COLUMN retryable bigint NOT NULL DEFAULT 0,
    ADD COLUMN retries bigint NOT NULL DEFAULT 0,
    ADD COLUMN confirmed_ms bigint NOT NULL DEFAULT 0;
UPDATE campaign_progress p
SET phases = n.phases, planned = n.planned, late_confirmed = n.late, retryable = n.retryable, retries = n.retries,
    confirmed_ms = n.confirmed_ms
FROM (
    SELECT tenant, campaign_id, wave, jsonb_object_agg(phase, members) AS phases, sum(planned) AS planned, sum(late) AS late,
        sum(retryable) AS retryable, sum(retries) AS retries, sum(confirmed_ms) AS confirmed_ms
    FROM (
        SELECT m.tenant, m.campaign_id, m.wave, CASE WHEN m.regressed_at IS NULL THEN m.phase ELSE 'regressed' END AS phase,
            count(*) AS members,
            count(*) FILTER (WHERE m.phase = 'planned' AND NOT m.holds_slot) AS planned,
            count(*) FILTER (WHERE m.late_confirmed) AS late,
            count(*) FILTER (WHERE (m.phase IN ('failed', 'timed_out', 'rejected', 'expired') OR m.regressed_at IS NOT NULL)
                AND NOT m.late_confirmed) AS retryable,
            sum(greatest(m.attempt - 1, 0)) AS retries,
            coalesce(sum(extract(epoch FROM m.ended_at - m.reached_at) * 1000)
                FILTER (WHERE m.phase = 'confirmed' AND m.regressed_at IS NULL), 0)::bigint AS confirmed_ms
        FROM rollout_members m
        JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
        WHERE m.excluded IS NULL
        GROUP BY 1, 2, 3, 4) of_phase
    GROUP BY 1, 2, 3) n
WHERE n.tenant = p.tenant AND n.campaign_id = p.campaign_id AND n.wave = p.wave;
UPDATE campaign_progress p
SET failures = n.failures
FROM (
    SELECT tenant, campaign_id, wave, jsonb_object_agg(code, members) AS failures
    FROM (
        SELECT m.tenant, m.campaign_id, m.wave, coalesce(m.code, 'unknown') AS code, count(*) AS members
        FROM rollout_members m
        JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
        WHERE m.excluded IS NULL AND (m.phase IN ('failed', 'timed_out', 'rejected') OR m.regressed_at IS NOT NULL)
        GROUP BY 1, 2, 3, 4) of_code
    GROUP BY 1, 2, 3) n
WHERE n.tenant = p.tenant AND n.campaign_id = p.campaign_id AND n.wave = p.wave;

ALTER TABLE rollout_members
    ADD COLUMN outcome text,
    ADD COLUMN reached boolean NOT NULL DEFAULT false;
UPDATE rollout_members SET outcome = CASE WHEN ended_at IS NOT NULL THEN phase END, reached = reached_at IS NOT NULL
WHERE ended_at IS NOT NULL OR reached_at IS NOT NULL;
DROP INDEX rollout_members_of_device;
DROP INDEX rollout_members_unreached;
ALTER TABLE rollout_members
    DROP COLUMN phase,
    DROP COLUMN wait_reason,
    DROP COLUMN before_cancel,
    DROP COLUMN cancel_refused,
    DROP COLUMN attempt,
    DROP COLUMN reached_at,
    DROP COLUMN not_before;
CREATE INDEX rollout_members_of_device ON rollout_members (tenant, device_id) WHERE outcome IS NULL AND excluded IS NULL;
-- That a device has answered stands in no index: most members that have no outcome haven't begun.
CREATE INDEX rollout_members_open ON rollout_members (tenant, campaign_id, plan, wave, rank)
    WHERE outcome IS NULL AND excluded IS NULL;
-- Lists, in the campaign's order.
CREATE INDEX rollout_members_in_order ON rollout_members (tenant, campaign_id, plan, wave, rank, device_id);
CREATE INDEX rollout_members_ended ON rollout_members (tenant, campaign_id, plan, outcome, wave, rank, device_id)
    WHERE outcome IS NOT NULL;

-- Devices that never had their turn end with their campaign, without a write to each of them.
ALTER TABLE rollout_campaigns ADD COLUMN planned_outcome text, ADD COLUMN planned_ended_at timestamptz;
