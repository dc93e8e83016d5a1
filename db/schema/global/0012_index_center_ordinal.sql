-- No two FCs have the same place.
CREATE UNIQUE INDEX IF NOT EXISTS fulfillment_centers_ordinal ON fulfillment_centers (ordinal);
