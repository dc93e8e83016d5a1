-- A payment can be authorized before it is captured; the next step names all states.
ALTER TABLE payments DROP CONSTRAINT IF EXISTS payments_state_is_known;
