-- Which orders redeemed a voucher. The row of an order makes that happen once, and stays as a tombstone when it is given back.
CREATE TABLE IF NOT EXISTS voucher_redemptions (
  region crdb_internal_region NOT NULL, -- the voucher's home, not the customer's ring
  code text NOT NULL, -- which voucher
  order_id text NOT NULL, -- by which order
  customer_id text NOT NULL, -- whose
  state text NOT NULL, -- REDEEMED, or GIVEN_BACK: then it counts no longer, and cannot be redeemed again
  changed_at timestamptz NOT NULL, -- last change of state
  CONSTRAINT voucher_redemptions_pk PRIMARY KEY (region, code, order_id),
  CONSTRAINT voucher_redemptions_state_is_known CHECK (state IN ('REDEEMED', 'GIVEN_BACK'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
