-- Parcels whose carrier is to be asked how far they are.
CREATE INDEX IF NOT EXISTS shipments_tracked ON shipments (region, track_at) WHERE track_at IS NOT NULL;
