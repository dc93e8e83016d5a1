-- Sessions of an earlier generation are not good any more: a new password, or signing out everywhere, begins the next.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS session_generation int8 NOT NULL DEFAULT 0;
