-- Old code writes products that are not Prime.
ALTER TABLE products ADD COLUMN IF NOT EXISTS prime bool NOT NULL DEFAULT false;
