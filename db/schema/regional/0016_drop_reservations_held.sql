-- What reservations_due does as well; every hold has to pass through each index twice.
DROP INDEX IF EXISTS reservations_held;
