-- The whole current schema of cellar_global: what every region reads locally and few write.
-- The files beside it in global/ lead here step by step; a test holds the two together.

-- Everything for sale.
CREATE TABLE IF NOT EXISTS products (
  sku text NOT NULL, -- identifies the product for ever
  title text NOT NULL, -- one line
  description text NOT NULL, -- plain text, may be empty
  brand text NOT NULL, -- may be empty
  category text NOT NULL, -- path from the root, levels joined by " > "
  price_minor_units int8 NOT NULL, -- price of one unit in minor units
  currency text NOT NULL, -- ISO 4217
  image_urls text[] NOT NULL, -- main image first
  attributes jsonb NOT NULL, -- object of text to text
  weight_grams int8 NOT NULL, -- of one unit packed; 0 when not known
  popularity int4 NOT NULL, -- sort weight, 0 to 1,000,000
  version int8 NOT NULL, -- grows by one with each change
  updated_at timestamptz NOT NULL, -- time of the last change
  family text NOT NULL DEFAULT '', -- products of one differ in a few attributes only; empty for none
  varies_by text[] NOT NULL DEFAULT ARRAY[]::text[], -- names of these attributes
  offer_of text NOT NULL DEFAULT '', -- SKU of the product that a seller offers by this row; empty for a product itself
  seller text NOT NULL DEFAULT '', -- who sells the offer; empty for a product itself
  condition int2 NOT NULL DEFAULT 0, -- of an offer, the better the lower: number of cellar.catalog.v1.Condition
  prime bool NOT NULL DEFAULT false, -- delivered free of charge, by express too, in an order of nothing but such products
  withdrawn_at timestamptz, -- since when it is not sold any more; NULL while it is
  CONSTRAINT products_pk PRIMARY KEY (sku),
  CONSTRAINT products_price_is_not_negative CHECK (price_minor_units >= 0),
  CONSTRAINT products_popularity_is_in_range CHECK (popularity BETWEEN 0 AND 1000000),
  CONSTRAINT products_weight_is_not_negative CHECK (weight_grams >= 0)
) /*@LOCALITY GLOBAL@*/;

-- The products of a family.
CREATE INDEX IF NOT EXISTS products_family ON products (family, sku) WHERE family <> '';

-- The offers of a product, as they are listed.
CREATE INDEX IF NOT EXISTS products_offer_of ON products (offer_of, condition, price_minor_units, sku) WHERE offer_of <> '';

-- What products cost before, as far as a reduction has to be told by: the lowest price of the 30 days before it. A product whose
-- price has never changed has no row.
CREATE TABLE IF NOT EXISTS price_histories (
  sku text NOT NULL, -- the product
  history bytea NOT NULL, -- protobuf cellar.catalog.v1.PriceHistory, of at most 16 past prices
  CONSTRAINT price_histories_pk PRIMARY KEY (sku)
) /*@LOCALITY GLOBAL@*/;

-- Which products a category shows, its sub-categories' included, so that browsing is one range of one index.
CREATE TABLE IF NOT EXISTS category_listings (
  category text NOT NULL, -- path of the category or of an ancestor of it
  popularity int4 NOT NULL, -- copied from the product
  sku text NOT NULL, -- the product
  CONSTRAINT category_listings_pk PRIMARY KEY (category, popularity, sku)
) /*@LOCALITY GLOBAL@*/;

-- To take a product out of its old categories.
CREATE INDEX IF NOT EXISTS category_listings_sku ON category_listings (sku);

-- The fulfilment centres: where they are and where their rows are homed.
CREATE TABLE IF NOT EXISTS fulfillment_centers (
  fc_id text NOT NULL, -- for example "iad1"
  region text NOT NULL, -- home of its rows in cellar_regional
  name text NOT NULL, -- for people
  city text NOT NULL, -- metro area
  country_code text NOT NULL, -- ISO 3166-1 alpha-2
  latitude float8 NOT NULL, -- degrees north
  longitude float8 NOT NULL, -- degrees east
  ordinal int2, -- its place in a set of FCs, given once
  CONSTRAINT fulfillment_centers_pk PRIMARY KEY (fc_id),
  CONSTRAINT fulfillment_centers_region_key UNIQUE (region, fc_id),
  CONSTRAINT fulfillment_centers_are_on_earth CHECK (latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180)
) /*@LOCALITY GLOBAL@*/;

-- No two FCs have the same place.
CREATE UNIQUE INDEX IF NOT EXISTS fulfillment_centers_ordinal ON fulfillment_centers (ordinal);

-- Which customer an e-mail address belongs to; the account itself lives in its ring.
CREATE TABLE IF NOT EXISTS email_directory (
  email text NOT NULL, -- lower case
  customer_id text NOT NULL, -- carries the ring
  claimed_at timestamptz NOT NULL, -- when the address was claimed; the account row follows
  CONSTRAINT email_directory_pk PRIMARY KEY (email)
) /*@LOCALITY GLOBAL@*/;

-- What takes something off an order, with its code or by itself. Never deleted: orders and redemptions name it.
CREATE TABLE IF NOT EXISTS vouchers (
  code text NOT NULL, -- upper case
  automatic bool NOT NULL, -- applies by itself; nobody gives its code
  percent_basis_points int4 NOT NULL, -- taken off; 0 for an amount
  amount_minor_units int8 NOT NULL, -- taken off; 0 for a percentage
  amount_currency text NOT NULL, -- ISO 4217; empty for a percentage
  minimum_minor_units int8 NOT NULL, -- least worth of the lines it is for
  minimum_currency text NOT NULL, -- ISO 4217; empty when there is no minimum
  categories text[] NOT NULL, -- paths of categories; empty for everything
  valid_from timestamptz NOT NULL, -- from when
  valid_until timestamptz NOT NULL, -- until when; the year 9999 for ever
  max_redemptions int8 NOT NULL, -- orders in all; 0 for no limit
  max_per_customer int8 NOT NULL, -- orders of one customer; 0 for no limit
  home_region text NOT NULL, -- region of its rows in cellar_customer
  disabled bool NOT NULL, -- no longer accepted
  created_at timestamptz NOT NULL, -- time of definition
  CONSTRAINT vouchers_pk PRIMARY KEY (code),
  CONSTRAINT vouchers_take_a_percentage_or_an_amount CHECK ((percent_basis_points BETWEEN 1 AND 10000) <> (amount_minor_units > 0)),
  CONSTRAINT vouchers_limits_are_not_negative CHECK (minimum_minor_units >= 0 AND max_redemptions >= 0 AND max_per_customer >= 0)
) /*@LOCALITY GLOBAL@*/;

-- Promotions that apply by themselves and are not over.
CREATE INDEX IF NOT EXISTS vouchers_standing ON vouchers (valid_until, code) WHERE automatic AND NOT disabled;

-- What else was bought by those who bought a product. Made offline from the order history, all of it at a time.
CREATE TABLE IF NOT EXISTS also_bought (
  sku text NOT NULL, -- the product
  others bytea NOT NULL, -- protobuf cellar.recommendation.v1.AlsoBought
  trained_at timestamptz NOT NULL, -- when it was made
  CONSTRAINT also_bought_pk PRIMARY KEY (sku)
) /*@LOCALITY GLOBAL@*/;

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
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- What is still to be published, in order.
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (region, shard, id) WHERE published_at IS NULL;

-- Events that have taken effect here: one row each, written in the effect's transaction, so that each counts once.
CREATE TABLE IF NOT EXISTS inbox (
  region crdb_internal_region NOT NULL, -- region of the rows the effect changed
  consumer text NOT NULL, -- which consumer took it
  message_id text NOT NULL, -- as in the sender's outbox
  received_at timestamptz NOT NULL, -- when it took effect
  CONSTRAINT inbox_pk PRIMARY KEY (region, consumer, message_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- Who does a piece of background work now. Advisory locks are silent no-ops on CockroachDB, so a row it is.
CREATE TABLE IF NOT EXISTS leases (
  region crdb_internal_region NOT NULL, -- region of the work
  name text NOT NULL, -- the work, for example "outbox/3"
  holder text NOT NULL, -- cell that does it
  until timestamptz NOT NULL, -- when it must have been renewed, by the database's clock
  CONSTRAINT leases_pk PRIMARY KEY (region, name)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- Evacuations and other moves of slots: one row each, from the command to long after its end.
CREATE TABLE IF NOT EXISTS evacuations (
  evacuation_id text NOT NULL, -- ev-…, random
  kind text NOT NULL, -- EVACUATION, REBALANCE, UNDO or REVERT
  state text NOT NULL, -- see cells/evacuation
  revision int8 NOT NULL, -- grows by one at each change: whoever changes the row names the one it has read
  changing bool NOT NULL, -- slots are on their way: at most one move may be so at a time
  who text NOT NULL, -- who wants it
  reason text NOT NULL, -- why
  started_at timestamptz NOT NULL, -- time of the command
  ended_at timestamptz, -- when it was done, or all was back; NULL before
  expires_at timestamptz, -- when it is undone by itself; NULL for never
  undoes_id text NOT NULL, -- the move that this one takes back; empty for none
  undone_by_id text NOT NULL, -- the move that takes this one back; empty for none
  states_before jsonb NOT NULL, -- cell to its state before, of the cells whose state the move changes
  states_after jsonb NOT NULL, -- cell to its state when the move is done
  map_version int8 NOT NULL, -- first version of the map that has what was flipped; 0 before
  evacuation bytea NOT NULL, -- protobuf cellar.topology.v1.Evacuation: plan, phases, findings
  CONSTRAINT evacuations_pk PRIMARY KEY (evacuation_id),
  CONSTRAINT evacuations_kind_is_known CHECK (kind IN ('EVACUATION', 'REBALANCE', 'UNDO', 'REVERT')),
  CONSTRAINT evacuations_state_is_known CHECK (state IN ('PLANNED', 'FLIPPING', 'PUBLISHING', 'CONVERGING', 'VERIFYING', 'DONE', 'ABORTING', 'ABORTED', 'UNDONE'))
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- One move at a time changes slots.
CREATE UNIQUE INDEX IF NOT EXISTS evacuations_changing ON evacuations (changing) WHERE changing;

-- Moves that somebody has to drive.
CREATE INDEX IF NOT EXISTS evacuations_open ON evacuations (started_at) WHERE ended_at IS NULL;

-- The newest moves first.
CREATE INDEX IF NOT EXISTS evacuations_started ON evacuations (started_at DESC, evacuation_id);

-- Moves that are undone by themselves, by time.
CREATE INDEX IF NOT EXISTS evacuations_expiry ON evacuations (expires_at) WHERE state = 'DONE' AND undone_by_id = '';

-- The history of the map. The newest row is the map; who owns a slot is decided by the table slots of cellar_customer, from
-- which each of these was made. At most a thousand versions are kept.
CREATE TABLE IF NOT EXISTS maps (
  version int8 NOT NULL, -- from 1, without gaps; the key is what decides between two who publish at once
  snapshot bytea NOT NULL, -- as routers and cells get it, signed; at most 512 KiB
  made_at timestamptz NOT NULL, -- when
  who text NOT NULL, -- operator, or the control plane itself
  reason text NOT NULL, -- why, in the words of whoever wanted it
  CONSTRAINT maps_pk PRIMARY KEY (version),
  CONSTRAINT maps_version_is_positive CHECK (version > 0)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- The fleet: what the map says of cells beside what they own. Whatever changes here is in the next map.
CREATE TABLE IF NOT EXISTS cells (
  cell_id text NOT NULL, -- for example "use1-a"
  region text NOT NULL, -- where it runs
  state text NOT NULL, -- as topology.State has it
  weight int4 NOT NULL, -- its share of its ring, relative to the others'
  capacity int4 NOT NULL, -- requests a second that it can carry; 0 when nobody has said
  public_address text NOT NULL, -- host:port for routers
  internal_address text NOT NULL, -- host:port for other cells
  admin_address text NOT NULL, -- host:port for probes
  changed_at timestamptz NOT NULL, -- time of the last change
  CONSTRAINT cells_pk PRIMARY KEY (cell_id),
  CONSTRAINT cells_state_is_known CHECK (state IN ('active', 'draining', 'evacuated', 'quarantined', 'canary')),
  CONSTRAINT cells_weight_is_in_range CHECK (weight BETWEEN 0 AND 10000),
  CONSTRAINT cells_capacity_is_not_negative CHECK (capacity >= 0)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- Why single customers are served by another cell than their slot's owner. That they are stands in slots.overrides; this says
-- who wanted it and until when.
CREATE TABLE IF NOT EXISTS overrides (
  customer_id text NOT NULL, -- carries the ring
  cell_id text NOT NULL, -- that is to serve the customer
  who text NOT NULL, -- operator
  reason text NOT NULL, -- why
  created_at timestamptz NOT NULL, -- when it was asked for
  expires_at timestamptz NOT NULL, -- when it is taken away
  applied bool NOT NULL, -- false from before the slot's row is written until the map that has it
  CONSTRAINT overrides_pk PRIMARY KEY (customer_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- The lever that stops all automatic evacuations, and what automation must remember whoever leads. One row.
CREATE TABLE IF NOT EXISTS automation (
  name text NOT NULL, -- 'evacuation'
  enabled bool NOT NULL, -- false: nothing is moved but by people
  who text NOT NULL, -- who moved the lever last
  reason text NOT NULL, -- why
  changed_at timestamptz NOT NULL, -- when the lever was moved last
  moved_cell text NOT NULL, -- cell that automation evacuated last; empty for none
  moved_at timestamptz NOT NULL, -- when that was; the next must wait
  CONSTRAINT automation_pk PRIMARY KEY (name)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;

-- The audit trail of whatever changed the map or was decided about it. Rows are only added.
CREATE TABLE IF NOT EXISTS topology_changes (
  change_id text NOT NULL, -- ascends with time: microseconds since 1970 in hexadecimal digits, and chance
  at timestamptz NOT NULL, -- when
  who text NOT NULL, -- operator, or the control plane itself
  reason text NOT NULL, -- why
  action text NOT NULL, -- what was done, for example "cell added"
  subject text NOT NULL, -- to what: a cell, a region, a customer, an evacuation
  map_version int8 NOT NULL, -- the map that it made, or that was in force
  CONSTRAINT topology_changes_pk PRIMARY KEY (change_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
