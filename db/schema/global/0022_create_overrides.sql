-- Why single customers are served by another cell than their slot's owner. That they are stands in slots.overrides; this says
-- who wanted it and until when.
CREATE TABLE IF NOT EXISTS overrides (
  customer_id text NOT NULL, -- carries the ring
  cell_id text NOT NULL, -- that is to serve the customer
  who text NOT NULL, -- operator
  reason text NOT NULL, -- why
  created_at timestamptz NOT NULL, -- when it was asked for
  expires_at timestamptz NOT NULL, -- when it is taken away
  applied bool NOT NULL, -- false from before the slot's row is written until the map that has it
  CONSTRAINT overrides_pk PRIMARY KEY (customer_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
