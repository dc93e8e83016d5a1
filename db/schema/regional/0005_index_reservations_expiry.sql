-- Holds by expiry, for the sweep.
CREATE INDEX IF NOT EXISTS reservations_expiry ON reservations (region, expires_at) WHERE state = 'HELD';
