-- Finds the links to forget.
CREATE INDEX IF NOT EXISTS account_tokens_expiry ON account_tokens (region, expires_at);
