-- Why: LoRaWAN devices have slots and a rate of their own in a campaign (ADR 78). A member says with which devices it counts, as its plan has it;
-- members of older plans count with the others, as they did. The first index says whether a plan has any LoRaWAN devices, the second one finds
-- the next of them behind many others that are ready.
ALTER TABLE rollout_members ADD COLUMN lorawan boolean NOT NULL DEFAULT false;
CREATE INDEX rollout_members_lorawan ON rollout_members (plan) WHERE lorawan;
CREATE INDEX rollout_members_lorawan_ready ON rollout_members (plan, staged, wave, rank) WHERE lorawan AND ready;
ALTER TABLE campaign_progress ADD COLUMN lorawan_in_use bigint NOT NULL DEFAULT 0;
ALTER TABLE rollout_campaigns ADD COLUMN lorawan_paced_until timestamptz;
