-- Everything that happened to an order, append-only.
CREATE TABLE IF NOT EXISTS order_events (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- which order
  seq int8 NOT NULL, -- from 1, without gaps; order of what happened
  kind text NOT NULL, -- placed, paid, failed, shipped
  cause text NOT NULL, -- what makes the event happen once: "placed", "ended", "shipment/<id>"
  at timestamptz NOT NULL, -- when it happened
  detail bytea NOT NULL, -- protobuf of what the kind needs; may be empty
  CONSTRAINT order_events_pk PRIMARY KEY (region, order_id, seq),
  CONSTRAINT order_events_cause_key UNIQUE (region, order_id, cause)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
