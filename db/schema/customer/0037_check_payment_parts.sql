-- No more is borne, let go of or given back than there is.
ALTER TABLE payments
/*@PG DROP CONSTRAINT IF EXISTS payments_parts_are_in_range, ADD CONSTRAINT @*/
/*@CRDB ADD CONSTRAINT IF NOT EXISTS @*/
payments_parts_are_in_range CHECK (credit_minor_units BETWEEN 0 AND amount_minor_units AND uncaptured_minor_units BETWEEN 0 AND amount_minor_units AND refunded_minor_units BETWEEN 0 AND amount_minor_units - uncaptured_minor_units);
