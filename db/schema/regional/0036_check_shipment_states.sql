-- States of a shipment. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE shipments
/*@PG DROP CONSTRAINT IF EXISTS shipments_state_is_one_of, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
shipments_state_is_one_of CHECK (state IN ('REQUESTED', 'SHORT', 'PACKED', 'SHIPPED', 'CANCELED'));
