-- Kinds of ledger entries. PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS: there the constraint is replaced by itself.
ALTER TABLE inventory_events
/*@PG DROP CONSTRAINT IF EXISTS inventory_events_kind_is_listed, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
inventory_events_kind_is_listed CHECK (kind IN ('restock', 'ship', 'adjust', 'return'));
