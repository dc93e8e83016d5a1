-- The owner's epoch under which a saga is held: a run of an owner before need not be waited for.
ALTER TABLE sagas ADD COLUMN IF NOT EXISTS epoch int8 NOT NULL DEFAULT 0;
