-- What is taken off a line and put on it. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE order_lines
/*@PG DROP CONSTRAINT IF EXISTS order_lines_parts_are_in_range, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
order_lines_parts_are_in_range CHECK (discount_minor_units BETWEEN 0 AND quantity * unit_price_minor_units AND tax_minor_units >= 0);
