-- Why: a gate that closes and a campaign that finishes name the device's record that they follow from. The read model rollout is to be
-- rebuilt.
ALTER TABLE campaign_progress
  ADD COLUMN last_outcome jsonb,
  ADD COLUMN last_failure jsonb;
