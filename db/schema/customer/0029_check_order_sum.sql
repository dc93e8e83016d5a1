-- What is charged. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE orders
/*@PG DROP CONSTRAINT IF EXISTS orders_total_adds_up, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
orders_total_adds_up CHECK (total_minor_units = items_minor_units - discount_minor_units + shipping_minor_units + tax_minor_units);
