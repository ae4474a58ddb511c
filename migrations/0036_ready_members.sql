-- Why: the next devices of a campaign are found by an index in the campaign's order, not by a join over all that wait. `ready`: nothing in
-- the member or its device stands in the way; `ready_at`: nothing will from then on. No index has a column that each event changes, so most
-- updates of a member touch no index. Rows are made anew with the projection `fleet`.
ALTER TABLE rollout_members ADD COLUMN ready boolean NOT NULL DEFAULT false, ADD COLUMN ready_at timestamptz;
CREATE INDEX rollout_members_ready ON rollout_members (tenant, campaign_id, plan, wave, rank) WHERE ready;
CREATE INDEX rollout_members_ready_later ON rollout_members (tenant, campaign_id, plan, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX rollout_members_of_device ON rollout_members (tenant, device_id) WHERE ended_at IS NULL AND excluded IS NULL;
DROP INDEX rollout_members_next;
CREATE INDEX rollout_members_unreached ON rollout_members (tenant, campaign_id, plan, wave, rank)
    WHERE ended_at IS NULL AND reached_at IS NULL AND excluded IS NULL;
DROP INDEX rollout_devices_idle;
DROP INDEX rollout_devices_gone;
-- Room for new versions of a row on its own page, without which no update spares the indexes.
ALTER TABLE rollout_members SET (fillfactor = 80);
ALTER TABLE rollout_devices SET (fillfactor = 80);
ALTER TABLE updates SET (fillfactor = 80);
ALTER TABLE devices SET (fillfactor = 80);
ALTER TABLE device_versions SET (fillfactor = 80);
