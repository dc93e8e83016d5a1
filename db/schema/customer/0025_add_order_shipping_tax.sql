-- Part of an order's tax that is on shipping.
ALTER TABLE orders ADD COLUMN IF NOT EXISTS shipping_tax_minor_units int8 NOT NULL DEFAULT 0;
