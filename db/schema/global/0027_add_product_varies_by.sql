-- What tells the products of a family apart.
ALTER TABLE products ADD COLUMN IF NOT EXISTS varies_by text[] NOT NULL DEFAULT ARRAY[]::text[];
