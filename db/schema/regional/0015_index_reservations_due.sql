-- Holds by expiry, at each FC: what has run out counts as available, and is swept.
CREATE INDEX IF NOT EXISTS reservations_due ON reservations (region, fc_id, expires_at, sku) WHERE state = 'HELD';
