-- When the customer showed that the e-mail address is theirs; none before.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS verified_at timestamptz;
