-- Changes of a cart that must count once: a guest's cart merged, an order's products taken out.
CREATE TABLE IF NOT EXISTS cart_changes (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose cart changed
  cause text NOT NULL, -- "merge/<guest id>" or "order/<order id>"; "lock" of a row that is only locked
  changed_at timestamptz NOT NULL, -- when it counted
  result bytea NOT NULL, -- protobuf of the answer, given again to a caller that asks again
  CONSTRAINT cart_changes_pk PRIMARY KEY (region, customer_id, cause)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
