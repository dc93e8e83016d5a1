-- Parcels whose missing units are still on the books.
CREATE INDEX IF NOT EXISTS shipments_short ON shipments (region, due_at) WHERE state = 'SHORT';
