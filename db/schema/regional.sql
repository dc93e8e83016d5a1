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
  state text NOT NULL, -- REQUESTED, SHORT, PACKED, SHIPPED, CANCELED
  lines bytea NOT NULL, -- protobuf cellar.order.v1.FulfillmentRequested, as it came, without the units that were not found
  tracking_number text NOT NULL, -- of the carrier; empty until shipped
  requested_at timestamptz NOT NULL, -- when the FC was asked
  shipped_at timestamptz, -- when it left
  due_at timestamptz NOT NULL, -- when the FC works on it next
  booking bytea NOT NULL DEFAULT '', -- protobuf cellar.fulfillment.v1.Booking: what its carrier is asked, written before it is asked
  tries int8 NOT NULL DEFAULT 0, -- how often it was taken to be sent; with each the next one waits longer
  carrier text NOT NULL DEFAULT '', -- who carries it; empty until shipped
  scanned int8 NOT NULL DEFAULT 0, -- scans that the order was told: those before which none is missing
  way text NOT NULL DEFAULT '', -- state of the last of them, as in shipment_scans
  track_at timestamptz, -- when the carrier is asked how far it is, unless it tells before; NULL when it need not be
  short_picks bytea NOT NULL DEFAULT '', -- protobuf cellar.fulfillment.v1.ShortPicks: what was not found of it; of one that is SHORT, the last is being taken off the books
  ship_by timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00', -- the carrier's collection that it is to leave with: its wave; of one that was asked for before there were waves long ago, so that it goes first
  CONSTRAINT shipments_pk PRIMARY KEY (region, fc_id, order_id),
  CONSTRAINT shipments_shipped_has_time CHECK ((state = 'SHIPPED') = (shipped_at IS NOT NULL)),
  CONSTRAINT shipments_state_is_one_of CHECK (state IN ('REQUESTED', 'SHORT', 'PACKED', 'SHIPPED', 'CANCELED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- All parcels of an order.
CREATE INDEX IF NOT EXISTS shipments_order ON shipments (region, order_id);

-- Parcels still to be packed or sent, wave by wave.
CREATE INDEX IF NOT EXISTS shipments_waves ON shipments (region, ship_by, fc_id, due_at) WHERE state IN ('REQUESTED', 'SHORT', 'PACKED');

-- Parcels whose missing units are still on the books.
CREATE INDEX IF NOT EXISTS shipments_short ON shipments (region, due_at) WHERE state = 'SHORT';

-- Parcels whose carrier is to be asked how far they are.
CREATE INDEX IF NOT EXISTS shipments_tracked ON shipments (region, track_at) WHERE track_at IS NOT NULL;

-- What carriers have seen of parcels on their way: in whatever order and however often it is told, a scan is here once.
CREATE TABLE IF NOT EXISTS shipment_scans (
  region crdb_internal_region NOT NULL, -- the FC's region
  fc_id text NOT NULL, -- who has sent the parcel
  order_id text NOT NULL, -- of which order
  seq int8 NOT NULL, -- the carrier counts them from 1 without gaps
  state text NOT NULL, -- PICKED_UP, IN_TRANSIT, OUT_FOR_DELIVERY, DELIVERED, EXCEPTION, SENT_BACK
  at timestamptz NOT NULL, -- when the carrier says that it was
  place text NOT NULL, -- where, for people
  note text NOT NULL, -- what an exception is about, for people
  CONSTRAINT shipment_scans_pk PRIMARY KEY (region, fc_id, order_id, seq),
  CONSTRAINT shipment_scans_count_from_one CHECK (seq >= 1)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Copies of what customers wrote about products, for reading: each region has all of them, by product, kept by events.
CREATE TABLE IF NOT EXISTS published_contributions (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- about what
  contribution_id text NOT NULL, -- as in contributions
  kind text NOT NULL, -- REVIEW, QUESTION, ANSWER; empty while it is awaited or withdrawn
  question_id text NOT NULL, -- of an answer: to what; else empty
  rating int4 NOT NULL, -- of a review: 1 to 5 stars; else 0
  title text NOT NULL, -- of a review
  body text NOT NULL, -- what is said
  author text NOT NULL, -- as the author wants to be called; empty when the account is erased
  buyer bool NOT NULL, -- the author has bought the product
  state text NOT NULL, -- PUBLISHED; WITHDRAWN: a tombstone; AWAITED: only votes on it have come so far
  version int8 NOT NULL, -- of two events the higher one counts; 0 while it is awaited
  helpful int8 NOT NULL, -- votes for it
  unhelpful int8 NOT NULL, -- votes against it
  standing int8 NOT NULL, -- Wilson lower bound of the share of votes for it, in billionths: ranks by helpfulness
  written_at timestamptz NOT NULL, -- first time of writing
  CONSTRAINT published_contributions_pk PRIMARY KEY (region, sku, contribution_id),
  CONSTRAINT published_contributions_state_is_listed CHECK (state IN ('PUBLISHED', 'WITHDRAWN', 'AWAITED')),
  CONSTRAINT published_contributions_votes_are_not_negative CHECK (helpful >= 0 AND unhelpful >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What is published about a product, by helpfulness.
CREATE INDEX IF NOT EXISTS published_contributions_standing ON published_contributions (region, sku, kind, question_id, standing, written_at, contribution_id) WHERE state = 'PUBLISHED';

-- What is published about a product, by time.
CREATE INDEX IF NOT EXISTS published_contributions_time ON published_contributions (region, sku, kind, written_at, contribution_id) WHERE state = 'PUBLISHED';

-- The last word of each voter on a published contribution, so that a vote counts once whatever the broker does.
CREATE TABLE IF NOT EXISTS published_votes (
  region crdb_internal_region NOT NULL, -- the region that reads it
  contribution_id text NOT NULL, -- on what
  voter bytea NOT NULL, -- SHA-256 of the contribution's and the voter's ids
  vote int2 NOT NULL, -- 1 helpful, -1 not helpful, 0 taken back
  version int8 NOT NULL, -- of two events the higher one counts
  CONSTRAINT published_votes_pk PRIMARY KEY (region, contribution_id, voter),
  CONSTRAINT published_votes_vote_is_listed CHECK (vote IN (-1, 0, 1))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What a product's page shows of what was written about it: one row a product, so that a page needs one look-up.
CREATE TABLE IF NOT EXISTS opinions (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- about what
  stars_1 int8 NOT NULL, -- published reviews that give one star
  stars_2 int8 NOT NULL, -- two
  stars_3 int8 NOT NULL, -- three
  stars_4 int8 NOT NULL, -- four
  stars_5 int8 NOT NULL, -- five
  digest bytea NOT NULL, -- protobuf cellar.review.v1.Opinion: the most helpful reviews and questions, without the rating
  changed_at timestamptz NOT NULL, -- last change
  CONSTRAINT opinions_pk PRIMARY KEY (region, sku),
  CONSTRAINT opinions_stars_are_not_negative CHECK (stars_1 >= 0 AND stars_2 >= 0 AND stars_3 >= 0 AND stars_4 >= 0 AND stars_5 >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

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

-- What a product's page shows to everybody, one row a product, so that a page needs one look-up. Everything in it can be made
-- again from the rows of others.
CREATE TABLE IF NOT EXISTS product_pages (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- whose page
  card bytea NOT NULL, -- protobuf cellar.storefront.v1.Card: what other pages show of the product
  page bytea NOT NULL, -- protobuf cellar.storefront.v1.Page
  near text[] NOT NULL, -- SKUs of the products whose cards the page shows
  asked int8 NOT NULL, -- how often it was asked to be made anew: counted before what it is made of is read
  built int8 NOT NULL, -- which of these it answers; 0 before the first is answered, and nothing to be shown
  built_at timestamptz NOT NULL, -- when it was made
  reduced_at timestamptz, -- when the price fell by enough to be among the deals; null when it did not
  CONSTRAINT product_pages_pk PRIMARY KEY (region, sku),
  CONSTRAINT product_pages_answer_what_was_asked CHECK (built BETWEEN 0 AND asked)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- The deals of a region, the newest first.
CREATE INDEX IF NOT EXISTS product_pages_reduced ON product_pages (region, reduced_at DESC, sku) WHERE reduced_at IS NOT NULL;
