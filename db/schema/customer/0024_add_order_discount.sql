-- Taken off the items of an order. Constant defaults, here and in the next steps, because rows exist and old code writes more.
ALTER TABLE orders ADD COLUMN IF NOT EXISTS discount_minor_units int8 NOT NULL DEFAULT 0;
