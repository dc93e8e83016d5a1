-- Why operators changed a saga.
ALTER TABLE sagas ADD COLUMN IF NOT EXISTS operator_note text NOT NULL DEFAULT '';
