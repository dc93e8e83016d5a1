-- Store credit of customers.
CREATE TABLE IF NOT EXISTS wallets (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  currency text NOT NULL, -- ISO 4217; one balance each
  balance_minor_units int8 NOT NULL, -- what is left: the sum of its ledger entries
  updated_at timestamptz NOT NULL, -- last movement
  CONSTRAINT wallets_pk PRIMARY KEY (region, customer_id, currency),
  CONSTRAINT wallets_balance_is_not_negative CHECK (balance_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
