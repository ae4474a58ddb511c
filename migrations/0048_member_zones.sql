-- Maintenance windows in the zone of each device. Only members of campaigns with such windows have a zone, so the index costs the others
-- nothing.
ALTER TABLE rollout_members ADD COLUMN zone text;
CREATE INDEX rollout_members_zone ON rollout_members (tenant, campaign_id, plan, zone, ready, wave, rank) WHERE zone IS NOT NULL;
