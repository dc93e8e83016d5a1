-- A customer's orders, newest first.
CREATE INDEX IF NOT EXISTS orders_customer ON orders (region, customer_id, placed_at, order_id);
