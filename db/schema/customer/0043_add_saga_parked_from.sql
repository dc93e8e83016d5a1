-- What a saga was when it was parked, so that an operator can put it back.
ALTER TABLE sagas ADD COLUMN IF NOT EXISTS parked_from text NOT NULL DEFAULT '';
