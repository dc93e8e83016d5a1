-- Tokens of the card network that a customer saved. Never a card number.
CREATE TABLE IF NOT EXISTS payment_methods (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  payment_method_id text NOT NULL, -- random
  card_token text NOT NULL, -- tok_…
  label text NOT NULL, -- what the shopper calls it
  created_at timestamptz NOT NULL, -- time of saving
  CONSTRAINT payment_methods_pk PRIMARY KEY (region, customer_id, payment_method_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
