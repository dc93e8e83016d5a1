-- Parts of an order that cannot be more than the whole. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE orders
/*@PG DROP CONSTRAINT IF EXISTS orders_parts_are_in_range, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
orders_parts_are_in_range CHECK (discount_minor_units BETWEEN 0 AND items_minor_units AND shipping_tax_minor_units BETWEEN 0 AND tax_minor_units);
