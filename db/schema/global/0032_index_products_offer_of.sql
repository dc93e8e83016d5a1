-- The offers of a product, as they are listed.
CREATE INDEX IF NOT EXISTS products_offer_of ON products (offer_of, condition, price_minor_units, sku) WHERE offer_of <> '';
