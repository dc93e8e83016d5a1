-- Keys that can be forgotten.
CREATE INDEX IF NOT EXISTS idempotency_keys_expiry ON idempotency_keys (region, expires_at);
