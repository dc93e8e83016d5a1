-- Parcels still to be packed or sent.
CREATE INDEX IF NOT EXISTS shipments_open ON shipments (region, due_at) WHERE state IN ('REQUESTED', 'PACKED');
