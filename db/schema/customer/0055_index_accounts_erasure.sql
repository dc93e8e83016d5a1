-- The few erasures that are not finished.
CREATE INDEX IF NOT EXISTS accounts_erasure ON accounts (region, erasure_due_at) WHERE erasure_due_at IS NOT NULL;
