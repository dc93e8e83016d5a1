-- Stock set aside for an order's line at an FC. Line 0 is the tombstone of an order released there: it holds nothing
-- and refuses a late reserve.
CREATE TABLE IF NOT EXISTS reservations (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where
  order_id text NOT NULL, -- for which order
  line int4 NOT NULL, -- line of the order, from 1; 0 for the tombstone
  sku text NOT NULL, -- what; empty for the tombstone
  quantity int8 NOT NULL, -- units; 0 for the tombstone
  state text NOT NULL, -- HELD, COMMITTED, SHIPPED, RELEASED (by undo) or EXPIRED (by the sweep)
  expires_at timestamptz NOT NULL, -- when a hold runs out, whether or not anybody has swept it
  changed_at timestamptz NOT NULL, -- last change of state
  CONSTRAINT reservations_pk PRIMARY KEY (region, fc_id, order_id, line),
  CONSTRAINT reservations_state_is_known CHECK (state IN ('HELD', 'COMMITTED', 'SHIPPED', 'RELEASED', 'EXPIRED')),
  CONSTRAINT reservations_quantity_fits_the_line CHECK ((line > 0 AND quantity BETWEEN 1 AND 999) OR (line = 0 AND quantity = 0))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
