-- Why: updates that wait for other reasons than the hold begin when it lapses. Devices with a timed hold are few; they are looked up by its
-- end instead of looking at everything that waits.
CREATE INDEX devices_hold ON devices (hold_until) WHERE held AND hold_until IS NOT NULL;
