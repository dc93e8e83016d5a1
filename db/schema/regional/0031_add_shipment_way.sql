-- A parcel is booked with a carrier, and followed on its way to the door.
ALTER TABLE shipments
  ADD COLUMN IF NOT EXISTS booking bytea NOT NULL DEFAULT '', -- protobuf cellar.fulfillment.v1.Booking: what its carrier is asked, written before it is asked
  ADD COLUMN IF NOT EXISTS tries int8 NOT NULL DEFAULT 0, -- how often it was taken to be sent; with each the next one waits longer
  ADD COLUMN IF NOT EXISTS carrier text NOT NULL DEFAULT '', -- who carries it; empty until shipped
  ADD COLUMN IF NOT EXISTS scanned int8 NOT NULL DEFAULT 0, -- scans that the order was told: those before which none is missing
  ADD COLUMN IF NOT EXISTS way text NOT NULL DEFAULT '', -- state of the last of them, as in shipment_scans
  ADD COLUMN IF NOT EXISTS track_at timestamptz; -- when the carrier is asked how far it is, unless it tells before; NULL when it need not be
