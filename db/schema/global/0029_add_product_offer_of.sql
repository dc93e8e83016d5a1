-- Old code writes products that are no offers.
ALTER TABLE products ADD COLUMN IF NOT EXISTS offer_of text NOT NULL DEFAULT '';
