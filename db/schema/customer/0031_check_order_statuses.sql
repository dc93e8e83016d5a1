-- Statuses of an order. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE orders
/*@PG DROP CONSTRAINT IF EXISTS orders_status_is_listed, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
orders_status_is_listed CHECK (status IN ('PENDING', 'PAID', 'SHIPPED', 'FAILED', 'CANCELED'));
