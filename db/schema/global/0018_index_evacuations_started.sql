-- The newest moves first.
CREATE INDEX IF NOT EXISTS evacuations_started ON evacuations (started_at DESC, evacuation_id);
