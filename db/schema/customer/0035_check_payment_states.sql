-- States of a payment. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE payments
/*@PG DROP CONSTRAINT IF EXISTS payments_state_is_listed, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
payments_state_is_listed CHECK (state IN ('PENDING', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'REFUNDED', 'VOIDED'));
