-- What state an offered unit is in: the better, the lower.
ALTER TABLE products ADD COLUMN IF NOT EXISTS condition int2 NOT NULL DEFAULT 0;
