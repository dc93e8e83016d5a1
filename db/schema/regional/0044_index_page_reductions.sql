-- The deals of a region, the newest first.
CREATE INDEX IF NOT EXISTS product_pages_reduced ON product_pages (region, reduced_at DESC, sku) WHERE reduced_at IS NOT NULL;
