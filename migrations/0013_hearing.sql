-- Why: a clock that measures silence strikes only when everything has been heard that devices said before. TELEMETRY carries marks of how
-- far they have been heard; what the latest ones say stands beside the checkpoint of the projection that reads them. All three are times
-- of the process that hears the devices: nothing is compared with this server's clock.
ALTER TABLE projection_checkpoints
    ADD COLUMN heard_until timestamptz,
    ADD COLUMN hearing_since timestamptz,
    ADD COLUMN marked_at timestamptz;
