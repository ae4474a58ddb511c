-- Why: an index whose condition has the phase or the reason to wait in it is written with every phase of every update. The condition here
-- changes twice in the life of the few updates that have preconditions.
DROP INDEX updates_conditional;
CREATE INDEX updates_conditional ON updates (tenant, device_id) WHERE open AND preconditions IS NOT NULL;
