-- The products of a family.
CREATE INDEX IF NOT EXISTS products_family ON products (family, sku) WHERE family <> '';
