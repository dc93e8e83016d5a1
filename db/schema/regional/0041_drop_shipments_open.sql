-- shipments_waves has taken its place.
DROP INDEX IF EXISTS shipments_open;
