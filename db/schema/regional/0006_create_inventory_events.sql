-- The ledger: every change of what is on hand, append-only, in the transaction of the change.
-- For each (fc, sku): available + reserved = sum of delta.
CREATE TABLE IF NOT EXISTS inventory_events (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where
  kind text NOT NULL, -- restock, ship, adjust
  source_id text NOT NULL, -- delivery, order or adjustment: the same source counts once
  sku text NOT NULL, -- what
  delta int8 NOT NULL, -- units in (positive) or out (negative)
  reason text NOT NULL, -- of an adjustment; else empty
  at timestamptz NOT NULL, -- when
  CONSTRAINT inventory_events_pk PRIMARY KEY (region, fc_id, kind, source_id, sku),
  CONSTRAINT inventory_events_kind_is_known CHECK (kind IN ('restock', 'ship', 'adjust')),
  CONSTRAINT inventory_events_change_something CHECK (delta <> 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
