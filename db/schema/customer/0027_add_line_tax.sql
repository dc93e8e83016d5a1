-- On a whole line, after its discount.
ALTER TABLE order_lines ADD COLUMN IF NOT EXISTS tax_minor_units int8 NOT NULL DEFAULT 0;
