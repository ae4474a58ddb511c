-- Why: signatures of firmware are shown, and planners leave out what lacks those that its tenant asks for.
ALTER TABLE firmware ADD COLUMN signatures jsonb NOT NULL DEFAULT '[]';
