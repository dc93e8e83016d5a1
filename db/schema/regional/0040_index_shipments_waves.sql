-- Parcels still to be packed or sent, wave by wave.
CREATE INDEX IF NOT EXISTS shipments_waves ON shipments (region, ship_by, fc_id, due_at) WHERE state IN ('REQUESTED', 'SHORT', 'PACKED');
