-- Gift cards. Whoever knows the code may spend the balance, so the code itself is not here.
CREATE TABLE IF NOT EXISTS gift_cards (
  region crdb_internal_region NOT NULL, -- the ring that the code names
  code_hash bytea NOT NULL, -- SHA-256 of the code
  issue_id text NOT NULL, -- which issue made it
  currency text NOT NULL, -- ISO 4217, of both amounts
  issued_minor_units int8 NOT NULL, -- what it was worth at first
  balance_minor_units int8 NOT NULL, -- what is left: the sum of its ledger entries
  created_at timestamptz NOT NULL, -- time of issue
  CONSTRAINT gift_cards_pk PRIMARY KEY (region, code_hash),
  CONSTRAINT gift_cards_issue_key UNIQUE (region, issue_id),
  CONSTRAINT gift_cards_balance_is_in_range CHECK (balance_minor_units BETWEEN 0 AND issued_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
