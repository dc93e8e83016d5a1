-- Moves that are undone by themselves, by time.
CREATE INDEX IF NOT EXISTS evacuations_expiry ON evacuations (expires_at) WHERE state = 'DONE' AND undone_by_id = '';
