-- Gift cards and wallets that bear a part of a payment. A payment borne by one card has no row here.
CREATE TABLE IF NOT EXISTS payment_tenders (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- whose payment
  position int4 NOT NULL, -- from 1, in the order they are drawn on
  account_region crdb_internal_region NOT NULL, -- where the account's rows are homed: a gift card has a ring of its own
  account text NOT NULL, -- "gift_card/<hash>" or "wallet/<customer id>", as in ledger_entries
  amount_minor_units int8 NOT NULL, -- what was drawn, in the payment's currency
  captured_minor_units int8 NOT NULL, -- what was taken of it for good
  refunded_minor_units int8 NOT NULL, -- what went back of what was captured
  released_minor_units int8 NOT NULL, -- what went back without having been captured
  CONSTRAINT payment_tenders_pk PRIMARY KEY (region, order_id, position),
  CONSTRAINT payment_tenders_amount_is_positive CHECK (amount_minor_units > 0),
  CONSTRAINT payment_tenders_parts_are_in_range CHECK (refunded_minor_units >= 0 AND captured_minor_units >= refunded_minor_units AND released_minor_units >= 0 AND captured_minor_units + released_minor_units <= amount_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
