-- Events on their way out: written in the transaction of their effect, published by the holder of the shard's lease.
-- Pending rows are found by the partial index, never by a cursor: transactions commit out of order.
CREATE TABLE IF NOT EXISTS outbox (
  region crdb_internal_region NOT NULL, -- region of the writing transaction's rows
  shard int2 NOT NULL, -- 0 to 15, from the ordering key: events of one key keep their order
  id int8 NOT NULL, -- grows with each event of a process: milliseconds, then a counter; orders events of one key
  message_id text NOT NULL, -- identifies the event for ever: the broker and the inbox drop what they have seen
  destination text NOT NULL, -- region whose broker carries it
  subject text NOT NULL, -- NATS subject
  payload bytea NOT NULL, -- protobuf
  created_at timestamptz NOT NULL, -- when its effect happened
  published_at timestamptz, -- when the broker acknowledged it; NULL while pending
  CONSTRAINT outbox_pk PRIMARY KEY (region, shard, id, message_id),
  CONSTRAINT outbox_shard_is_in_range CHECK (shard BETWEEN 0 AND 15)
) /*@LOCALITY REGIONAL BY ROW AS region @*/;
