-- How often a voucher that has a limit is redeemed, by everybody and by each customer.
CREATE TABLE IF NOT EXISTS voucher_uses (
  region crdb_internal_region NOT NULL, -- the voucher's home
  code text NOT NULL, -- which voucher
  holder text NOT NULL, -- a customer, or '*' for everybody
  uses int8 NOT NULL, -- redemptions that were not given back
  CONSTRAINT voucher_uses_pk PRIMARY KEY (region, code, holder),
  CONSTRAINT voucher_uses_are_not_negative CHECK (uses >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
