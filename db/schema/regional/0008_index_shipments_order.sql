-- All parcels of an order.
CREATE INDEX IF NOT EXISTS shipments_order ON shipments (region, order_id);
