-- Why: a number of progress belongs to the phase that the device reported it for; in any other it says nothing.
ALTER TABLE update_progress ADD COLUMN phase text;
