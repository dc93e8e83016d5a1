-- What became of a request that must count once.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- who asked
  method text NOT NULL, -- what was asked
  key text NOT NULL, -- the client's Idempotency-Key
  fingerprint bytea NOT NULL, -- SHA-256 of the request's body
  resource_id text NOT NULL, -- what it makes, for example the order id
  answer bytea, -- protobuf of the answer; NULL while running or refused
  refusal bytea, -- protobuf google.rpc.Status of the refusal; NULL while running or answered
  created_at timestamptz NOT NULL, -- first request
  expires_at timestamptz NOT NULL, -- from when the key may be forgotten
  CONSTRAINT idempotency_keys_pk PRIMARY KEY (region, customer_id, method, key)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
