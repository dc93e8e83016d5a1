-- Old code writes products of no family.
ALTER TABLE products ADD COLUMN IF NOT EXISTS family text NOT NULL DEFAULT '';
