-- When the customer erased the account; the row stays, without anything personal, so that nothing of it comes back.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS erased_at timestamptz;
