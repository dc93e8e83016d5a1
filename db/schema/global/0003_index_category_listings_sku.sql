-- To take a product out of its old categories.
CREATE INDEX IF NOT EXISTS category_listings_sku ON category_listings (sku);
