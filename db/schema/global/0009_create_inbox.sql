-- Events that have taken effect here: one row each, written in the effect's transaction, so that each counts once.
CREATE TABLE IF NOT EXISTS inbox (
  region crdb_internal_region NOT NULL, -- region of the rows the effect changed
  consumer text NOT NULL, -- which consumer took it
  message_id text NOT NULL, -- as in the sender's outbox
  received_at timestamptz NOT NULL, -- when it took effect
  CONSTRAINT inbox_pk PRIMARY KEY (region, consumer, message_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
