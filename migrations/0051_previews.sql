-- Why: a start may name the plan that its sender has seen in a preview. The campaign shows the expected plan until its own is made, and the
-- plan that it was refused for. No earlier event has either, so no row changes.
ALTER TABLE campaigns ADD COLUMN expected_plan jsonb, ADD COLUMN refused_plan jsonb;

-- What a preview has shown, so that such a start can say what has changed. A preview isn't an event, so these rows can't be rebuilt from
-- EVENTS: they are a named exception, no read model, and neither rebuilt nor compared. They are kept for 7 days.
CREATE TABLE campaign_previews (
    tenant text NOT NULL,
    plan_hash text NOT NULL,
    made_at timestamptz NOT NULL,
    previewed jsonb NOT NULL,
    PRIMARY KEY (tenant, plan_hash)
);
CREATE INDEX campaign_previews_made_at ON campaign_previews (tenant, made_at);
SELECT waybill_protect('campaign_previews');
