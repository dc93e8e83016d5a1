-- Holds by product and expiry: what has run out counts as available.
CREATE INDEX IF NOT EXISTS reservations_held ON reservations (region, fc_id, sku, expires_at) WHERE state = 'HELD';
