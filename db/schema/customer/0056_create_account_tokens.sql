-- Links that were sent by e-mail: each works once, for a while. Nobody can make one of what stands here.
CREATE TABLE IF NOT EXISTS account_tokens (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose; nobody's where no account has the address
  token_id text NOT NULL, -- random, part of the link
  purpose text NOT NULL, -- verify or reset
  hash bytea NOT NULL, -- SHA-256 of the secret part of the link
  expires_at timestamptz NOT NULL, -- from when on it does not work
  CONSTRAINT account_tokens_pk PRIMARY KEY (region, customer_id, token_id),
  CONSTRAINT account_tokens_purpose_is_known CHECK (purpose IN ('verify', 'reset'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
