-- Which FCs have a product. Without the counts: an index that held them would be rewritten at each sale.
CREATE INDEX IF NOT EXISTS inventory_sku ON inventory (region, sku, fc_id);
