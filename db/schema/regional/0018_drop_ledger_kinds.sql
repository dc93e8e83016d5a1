-- Returns come to the ledger's kinds; the next step names them all.
ALTER TABLE inventory_events DROP CONSTRAINT IF EXISTS inventory_events_kind_is_known;
