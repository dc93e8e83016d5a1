-- Parcels still to be sent.
CREATE INDEX IF NOT EXISTS shipments_due ON shipments (region, due_at) WHERE state = 'REQUESTED';
