-- Parcels: one FC's part of one order.
CREATE TABLE IF NOT EXISTS shipments (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- who ships
  order_id text NOT NULL, -- for which order
  shipment_id text NOT NULL, -- random
  customer_id text NOT NULL, -- to whom; decides where the news goes
  state text NOT NULL, -- REQUESTED, SHIPPED
  lines bytea NOT NULL, -- protobuf cellar.order.v1.FulfillmentRequested, as it came
  tracking_number text NOT NULL, -- of the carrier; empty until shipped
  requested_at timestamptz NOT NULL, -- when the FC was asked
  shipped_at timestamptz, -- when it left
  due_at timestamptz NOT NULL, -- when the FC works on it next
  CONSTRAINT shipments_pk PRIMARY KEY (region, fc_id, order_id),
  CONSTRAINT shipments_state_is_known CHECK (state IN ('REQUESTED', 'SHIPPED')),
  CONSTRAINT shipments_shipped_has_time CHECK ((state = 'SHIPPED') = (shipped_at IS NOT NULL))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
