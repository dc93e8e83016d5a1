-- The whole current schema of cellar_regional: rows homed by the fulfilment centre's region.
-- The files beside it in regional/ lead here step by step; a test holds the two together.

-- Stock of one product at one FC. On hand is available + reserved.
CREATE TABLE IF NOT EXISTS inventory (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where it lies
  sku text NOT NULL, -- what it is
  available int8 NOT NULL, -- units that can be promised
  reserved int8 NOT NULL, -- units held or committed, not shipped
  CONSTRAINT inventory_pk PRIMARY KEY (region, fc_id, sku),
  CONSTRAINT inventory_is_never_oversold CHECK (available >= 0),
  CONSTRAINT inventory_reserved_is_not_negative CHECK (reserved >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Which FCs have a product. Without the counts: an index that held them would be rewritten at each sale.
CREATE INDEX IF NOT EXISTS inventory_sku ON inventory (region, sku, fc_id);

-- Stock set aside for an order's line at an FC. Line 0 is the tombstone of an order released there: it holds nothing
-- and refuses a late reserve.
CREATE TABLE IF NOT EXISTS reservations (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where
  order_id text NOT NULL, -- for which order
  line int4 NOT NULL, -- line of the order, from 1; 0 for the tombstone
  sku text NOT NULL, -- what; empty for the tombstone
  quantity int8 NOT NULL, -- units; 0 for the tombstone
  state text NOT NULL, -- HELD, COMMITTED, SHIPPED, RELEASED (by undo) or EXPIRED (by the sweep)
  expires_at timestamptz NOT NULL, -- when a hold runs out, whether or not anybody has swept it
  changed_at timestamptz NOT NULL, -- last change of state
  CONSTRAINT reservations_pk PRIMARY KEY (region, fc_id, order_id, line),
  CONSTRAINT reservations_state_is_known CHECK (state IN ('HELD', 'COMMITTED', 'SHIPPED', 'RELEASED', 'EXPIRED')),
  CONSTRAINT reservations_quantity_fits_the_line CHECK ((line > 0 AND quantity BETWEEN 1 AND 999) OR (line = 0 AND quantity = 0))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Holds by expiry, at each FC: what has run out counts as available, and is swept. One index for both, because every hold
-- passes through it twice.
CREATE INDEX IF NOT EXISTS reservations_due ON reservations (region, fc_id, expires_at, sku) WHERE state = 'HELD';

-- The ledger: every change of what is on hand, append-only, in the transaction of the change.
-- For each (fc, sku): available + reserved = sum of delta.
CREATE TABLE IF NOT EXISTS inventory_events (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- where
  kind text NOT NULL, -- restock, ship, adjust, return
  source_id text NOT NULL, -- delivery, order, adjustment or return: the same source counts once
  sku text NOT NULL, -- what
  delta int8 NOT NULL, -- units in (positive) or out (negative)
  reason text NOT NULL, -- of an adjustment; else empty
  at timestamptz NOT NULL, -- when
  CONSTRAINT inventory_events_pk PRIMARY KEY (region, fc_id, kind, source_id, sku),
  CONSTRAINT inventory_events_kind_is_listed CHECK (kind IN ('restock', 'ship', 'adjust', 'return')),
  CONSTRAINT inventory_events_change_something CHECK (delta <> 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Which FCs have some of a product, and about how much there is: a hint for the planner, kept by events. Each region has
-- a row of its own for each region that stocks the product.
CREATE TABLE IF NOT EXISTS stock_summaries (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- of what
  source_region text NOT NULL, -- whose FCs it is about
  fcs bytea NOT NULL, -- a bit for each FC that has some, by its ordinal, lowest first
  units int8 NOT NULL, -- available there when it was last looked at
  version int8 NOT NULL, -- grows with each change; of two the higher one counts
  changed_at timestamptz NOT NULL, -- last change
  levels bytea NOT NULL DEFAULT '', -- of each FC, by its ordinal, four bits: the level of its count, lowest first
  CONSTRAINT stock_summaries_pk PRIMARY KEY (region, sku, source_region),
  CONSTRAINT stock_summaries_units_are_not_negative CHECK (units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Parcels: one FC's part of one order. The row decides whether a parcel is sent or canceled; one that is canceled before
-- the FC was asked for it has no customer and no lines, and keeps the request that comes later from sending anything.
CREATE TABLE IF NOT EXISTS shipments (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- who ships
  order_id text NOT NULL, -- for which order
  shipment_id text NOT NULL, -- random
  customer_id text NOT NULL, -- to whom; decides where the news goes
  state text NOT NULL, -- REQUESTED, PACKED, SHIPPED, CANCELED
  lines bytea NOT NULL, -- protobuf cellar.order.v1.FulfillmentRequested, as it came
  tracking_number text NOT NULL, -- of the carrier; empty until shipped
  requested_at timestamptz NOT NULL, -- when the FC was asked
  shipped_at timestamptz, -- when it left
  due_at timestamptz NOT NULL, -- when the FC works on it next
  CONSTRAINT shipments_pk PRIMARY KEY (region, fc_id, order_id),
  CONSTRAINT shipments_shipped_has_time CHECK ((state = 'SHIPPED') = (shipped_at IS NOT NULL)),
  CONSTRAINT shipments_state_is_listed CHECK (state IN ('REQUESTED', 'PACKED', 'SHIPPED', 'CANCELED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- All parcels of an order.
CREATE INDEX IF NOT EXISTS shipments_order ON shipments (region, order_id);

-- Parcels still to be packed or sent.
CREATE INDEX IF NOT EXISTS shipments_open ON shipments (region, due_at) WHERE state IN ('REQUESTED', 'PACKED');

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

-- What is still to be published, in order.
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (region, shard, id) WHERE published_at IS NULL;

-- What can be deleted once the replay window is over.
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (region, shard, published_at) WHERE published_at IS NOT NULL;

-- Events that have taken effect here: one row each, written in the effect's transaction, so that each counts once.
CREATE TABLE IF NOT EXISTS inbox (
  region crdb_internal_region NOT NULL, -- region of the rows the effect changed
  consumer text NOT NULL, -- which consumer took it
  message_id text NOT NULL, -- as in the sender's outbox
  received_at timestamptz NOT NULL, -- when it took effect
  CONSTRAINT inbox_pk PRIMARY KEY (region, consumer, message_id)
) /*@LOCALITY REGIONAL BY ROW AS region @*/;

-- Who does a piece of background work now. Advisory locks are silent no-ops on CockroachDB, so a row it is.
CREATE TABLE IF NOT EXISTS leases (
  region crdb_internal_region NOT NULL, -- region of the work
  name text NOT NULL, -- the work, for example "outbox/3"
  holder text NOT NULL, -- cell that does it
  until timestamptz NOT NULL, -- when it must have been renewed, by the database's clock
  CONSTRAINT leases_pk PRIMARY KEY (region, name)
) /*@LOCALITY REGIONAL BY ROW AS region @*/;

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
