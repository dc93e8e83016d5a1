-- shipments_open has taken its place.
DROP INDEX IF EXISTS shipments_due;
