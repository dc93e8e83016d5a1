-- Customers of the slot whom another cell serves: an object of customer id to cell id. NULL is none, as nearly always.
-- Any change of it is a new epoch of the slot.
ALTER TABLE slots ADD COLUMN IF NOT EXISTS overrides jsonb;
