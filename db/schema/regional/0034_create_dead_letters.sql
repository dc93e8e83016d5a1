-- Messages that a consumer has given up, until an operator decides about them.
CREATE TABLE IF NOT EXISTS dead_letters (
  region crdb_internal_region NOT NULL, -- region in which the message was consumed
  consumer text NOT NULL, -- who gave it up
  message_id text NOT NULL, -- as in the sender's outbox
  subject text NOT NULL, -- NATS subject
  payload bytea NOT NULL, -- protobuf
  reason text NOT NULL, -- what its last try failed with
  tries int4 NOT NULL, -- how often it was tried
  buried_at timestamptz NOT NULL, -- when it was given up
  CONSTRAINT dead_letters_pk PRIMARY KEY (region, consumer, message_id)
) /*@LOCALITY REGIONAL BY ROW AS region @*/;
