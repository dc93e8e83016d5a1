-- Moves that somebody has to drive.
CREATE INDEX IF NOT EXISTS evacuations_open ON evacuations (started_at) WHERE ended_at IS NULL;
