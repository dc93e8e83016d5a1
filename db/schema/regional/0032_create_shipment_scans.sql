-- What carriers have seen of parcels on their way: in whatever order and however often it is told, a scan is here once.
CREATE TABLE IF NOT EXISTS shipment_scans (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- who has sent the parcel
  order_id text NOT NULL, -- of which order
  seq int8 NOT NULL, -- the carrier counts them from 1 without gaps
  state text NOT NULL, -- PICKED_UP, IN_TRANSIT, OUT_FOR_DELIVERY, DELIVERED, EXCEPTION, SENT_BACK
  at timestamptz NOT NULL, -- when the carrier says that it was
  place text NOT NULL, -- where, for people
  note text NOT NULL, -- what an exception is about, for people
  CONSTRAINT shipment_scans_pk PRIMARY KEY (region, fc_id, order_id, seq),
  CONSTRAINT shipment_scans_count_from_one CHECK (seq >= 1)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
