-- Why: a firmware that is withdrawn takes back what its devices have begun, too, so all open updates of a firmware are looked for; one whose
-- device refused isn't told again and again. Ended updates say why they were cancelled, and which clock ran out. The read models updates and
-- rollout are to be rebuilt.
ALTER TABLE updates ADD COLUMN cancel_refused boolean NOT NULL DEFAULT false;
DROP INDEX updates_waiting;
CREATE INDEX updates_open_firmware ON updates (firmware_id) WHERE open;
