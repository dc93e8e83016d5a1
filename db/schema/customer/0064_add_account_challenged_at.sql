-- When the last challenge was asked that a passkey of the customer answered: each is answered once, and none after a later one.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS challenged_at timestamptz;
