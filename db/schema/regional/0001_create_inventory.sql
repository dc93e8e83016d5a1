-- Stock of one product at one FC. On hand is available + reserved.
CREATE TABLE IF NOT EXISTS inventory (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where it lies
  sku text NOT NULL, -- what it is
  available int8 NOT NULL, -- units that can be promised
  reserved int8 NOT NULL, -- units held or committed, not shipped
  CONSTRAINT inventory_pk PRIMARY KEY (region, fc_id, sku),
  CONSTRAINT inventory_is_never_oversold CHECK (available >= 0),
  CONSTRAINT inventory_reserved_is_not_negative CHECK (reserved >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
