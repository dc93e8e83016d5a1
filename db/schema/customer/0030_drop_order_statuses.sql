-- Orders can be canceled; the next step says it anew.
ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_status_is_known;
