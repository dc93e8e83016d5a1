-- Double-entry ledger of gift cards and wallets, append-only: the two entries of a movement sum to zero.
CREATE TABLE IF NOT EXISTS ledger_entries (
  region crdb_internal_region NOT NULL, -- where the account is homed
  account text NOT NULL, -- "gift_card/<hash>", "wallet/<customer id>", "order/<order id>", "issued" or "credited"
  movement text NOT NULL, -- identifies the movement for ever, for example "draw/<order id>/1"
  amount_minor_units int8 NOT NULL, -- what came in; negative: what went out
  currency text NOT NULL, -- ISO 4217
  reason text NOT NULL, -- for the books; may be empty
  at timestamptz NOT NULL, -- when it happened
  CONSTRAINT ledger_entries_pk PRIMARY KEY (region, account, movement),
  CONSTRAINT ledger_entries_amount_is_not_zero CHECK (amount_minor_units <> 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
