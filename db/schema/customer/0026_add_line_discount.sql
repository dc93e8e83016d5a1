-- Taken off a whole line.
ALTER TABLE order_lines ADD COLUMN IF NOT EXISTS discount_minor_units int8 NOT NULL DEFAULT 0;
