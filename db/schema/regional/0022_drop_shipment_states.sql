-- Shipments are packed, and may be canceled; the next step says it anew.
ALTER TABLE shipments DROP CONSTRAINT IF EXISTS shipments_state_is_known;
