-- Old code sells everything.
ALTER TABLE products ADD COLUMN IF NOT EXISTS withdrawn_at timestamptz;
