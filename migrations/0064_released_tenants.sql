-- Why: after a freeze what waits for devices waits its whole time again, so the view of a campaign must know when the last freeze ended. Tenants that
-- were frozen before have none: their waits go on as they were.
ALTER TABLE tenants ADD COLUMN released_at timestamptz;
