-- Who sells an offer.
ALTER TABLE products ADD COLUMN IF NOT EXISTS seller text NOT NULL DEFAULT '';
