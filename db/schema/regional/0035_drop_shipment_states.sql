-- A shipment may be short of units that are not on the shelf; the next step says its states anew.
ALTER TABLE shipments DROP CONSTRAINT IF EXISTS shipments_state_is_listed;
