-- What was not on the shelf when a parcel was picked.
ALTER TABLE shipments
  ADD COLUMN IF NOT EXISTS short_picks bytea NOT NULL DEFAULT ''; -- protobuf cellar.fulfillment.v1.ShortPicks: what was not found of it; of one that is SHORT, the last is being taken off the books
