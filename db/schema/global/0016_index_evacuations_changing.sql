-- One move at a time changes slots.
CREATE UNIQUE INDEX IF NOT EXISTS evacuations_changing ON evacuations (changing) WHERE changing;
