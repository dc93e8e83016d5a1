-- Parcels are picked in waves, before the collection they are to leave with.
ALTER TABLE shipments
  ADD COLUMN IF NOT EXISTS ship_by timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00'; -- the carrier's collection that it is to leave with: its wave; of one that was asked for before there were waves long ago, so that it goes first
