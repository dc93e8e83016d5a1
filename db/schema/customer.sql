-- The whole current schema of cellar_customer: rows homed by the customer's ring.
-- The files beside it in customer/ lead here step by step; a test holds the two together.

-- Who owns which customers. The fence of every customer write reads its row here.
CREATE TABLE IF NOT EXISTS slots (
  region crdb_internal_region NOT NULL, -- the ring
  slot int2 NOT NULL, -- 0 to 4095: top 12 bits of xxHash64 of the customer id
  owner text NOT NULL, -- cell that may write
  epoch int8 NOT NULL, -- grows by one at each change of owner
  changed_at timestamptz NOT NULL, -- time of the last change
  overrides jsonb, -- customers of the slot whom another cell serves, id to cell; any change is a new epoch
  CONSTRAINT slots_pk PRIMARY KEY (region, slot),
  CONSTRAINT slots_slot_is_in_range CHECK (slot BETWEEN 0 AND 4095),
  CONSTRAINT slots_epoch_is_positive CHECK (epoch > 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Customers who signed up.
CREATE TABLE IF NOT EXISTS accounts (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- c-<ring>-…
  email text NOT NULL, -- lower case, as in email_directory
  name text NOT NULL, -- to greet by
  password_hash text NOT NULL, -- argon2id, PHC string format
  created_at timestamptz NOT NULL, -- time of sign-up
  session_generation int8 NOT NULL DEFAULT 0, -- sessions of an earlier one are not good any more
  verified_at timestamptz, -- when the customer showed that the e-mail address is theirs
  erased_at timestamptz, -- when the customer erased the account
  erasure_due_at timestamptz, -- when what is left to erase elsewhere is tried next
  challenged_at timestamptz, -- when the last challenge was asked that one of the passkeys answered
  CONSTRAINT accounts_pk PRIMARY KEY (region, customer_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- The few erasures that are not finished.
CREATE INDEX IF NOT EXISTS accounts_erasure ON accounts (region, erasure_due_at) WHERE erasure_due_at IS NOT NULL;

-- Addresses a customer saved.
CREATE TABLE IF NOT EXISTS addresses (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  address_id text NOT NULL, -- random
  address bytea NOT NULL, -- protobuf cellar.postal.v1.PostalAddress
  created_at timestamptz NOT NULL, -- time of saving
  CONSTRAINT addresses_pk PRIMARY KEY (region, customer_id, address_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Tokens of the card network that a customer saved. Never a card number.
CREATE TABLE IF NOT EXISTS payment_methods (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  payment_method_id text NOT NULL, -- random
  card_token text NOT NULL, -- tok_…
  label text NOT NULL, -- what the shopper calls it
  created_at timestamptz NOT NULL, -- time of saving
  CONSTRAINT payment_methods_pk PRIMARY KEY (region, customer_id, payment_method_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What shoppers, guests too, mean to buy.
CREATE TABLE IF NOT EXISTS cart_lines (
  region crdb_internal_region NOT NULL, -- the shopper's ring
  customer_id text NOT NULL, -- customer or guest
  sku text NOT NULL, -- one line a product
  quantity int8 NOT NULL, -- 1 to 999
  price_minor_units int8 NOT NULL, -- price of one unit when it was added last
  currency text NOT NULL, -- ISO 4217, of that price
  added_at timestamptz NOT NULL, -- when the line was made; orders the cart
  CONSTRAINT cart_lines_pk PRIMARY KEY (region, customer_id, sku),
  CONSTRAINT cart_lines_quantity_is_in_range CHECK (quantity BETWEEN 1 AND 999),
  CONSTRAINT cart_lines_price_is_not_negative CHECK (price_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Changes of a cart that must count once: a guest's cart merged, an order's products taken out.
CREATE TABLE IF NOT EXISTS cart_changes (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose cart changed
  cause text NOT NULL, -- "merge/<guest id>" or "order/<order id>"; "lock" of a row that is only locked
  changed_at timestamptz NOT NULL, -- when it counted
  result bytea NOT NULL, -- protobuf of the answer, given again to a caller that asks again
  CONSTRAINT cart_changes_pk PRIMARY KEY (region, customer_id, cause)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Orders: what was agreed (never changes), and the projection of its events (status, last_seq).
CREATE TABLE IF NOT EXISTS orders (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- <ring>-XXXX-XXXX-XXXX-X
  customer_id text NOT NULL, -- whose
  status text NOT NULL, -- projection of order_events
  last_seq int8 NOT NULL, -- seq of the newest event that the projection holds
  currency text NOT NULL, -- ISO 4217, of all amounts
  items_minor_units int8 NOT NULL, -- sum of quantity × unit price
  shipping_minor_units int8 NOT NULL, -- charged for delivery
  tax_minor_units int8 NOT NULL, -- charged as tax
  total_minor_units int8 NOT NULL, -- what is charged in all
  ship_to bytea NOT NULL, -- protobuf cellar.postal.v1.PostalAddress
  placed_at timestamptz NOT NULL, -- when placement began
  discount_minor_units int8 NOT NULL DEFAULT 0, -- taken off the items
  shipping_tax_minor_units int8 NOT NULL DEFAULT 0, -- part of the tax that is on shipping
  CONSTRAINT orders_pk PRIMARY KEY (region, order_id),
  CONSTRAINT orders_amounts_are_not_negative CHECK (items_minor_units >= 0 AND shipping_minor_units >= 0 AND tax_minor_units >= 0),
  CONSTRAINT orders_total_adds_up CHECK (total_minor_units = items_minor_units - discount_minor_units + shipping_minor_units + tax_minor_units),
  CONSTRAINT orders_status_is_listed CHECK (status IN ('PENDING', 'PAID', 'SHIPPED', 'FAILED', 'CANCELED')),
  CONSTRAINT orders_parts_are_in_range CHECK (discount_minor_units BETWEEN 0 AND items_minor_units AND shipping_tax_minor_units BETWEEN 0 AND tax_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- A customer's orders, newest first.
CREATE INDEX IF NOT EXISTS orders_customer ON orders (region, customer_id, placed_at, order_id);

-- The products of an order at the prices charged.
CREATE TABLE IF NOT EXISTS order_lines (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- which order
  line int4 NOT NULL, -- from 1
  sku text NOT NULL, -- the product
  title text NOT NULL, -- its title when it was ordered
  quantity int8 NOT NULL, -- 1 to 999
  unit_price_minor_units int8 NOT NULL, -- in the order's currency
  discount_minor_units int8 NOT NULL DEFAULT 0, -- taken off the whole line
  tax_minor_units int8 NOT NULL DEFAULT 0, -- on the whole line, after the discount
  seller text NOT NULL DEFAULT '', -- who sold it, by the name it was ordered under; empty before there were sellers
  CONSTRAINT order_lines_pk PRIMARY KEY (region, order_id, line),
  CONSTRAINT order_lines_quantity_is_in_range CHECK (quantity BETWEEN 1 AND 999),
  CONSTRAINT order_lines_price_is_not_negative CHECK (unit_price_minor_units >= 0),
  CONSTRAINT order_lines_parts_are_in_range CHECK (discount_minor_units BETWEEN 0 AND quantity * unit_price_minor_units AND tax_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Everything that happened to an order, append-only.
CREATE TABLE IF NOT EXISTS order_events (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- which order
  seq int8 NOT NULL, -- from 1, without gaps; order of what happened
  kind text NOT NULL, -- placed, paid, failed, shipped, …: see docs/orders.md
  cause text NOT NULL, -- what makes the event happen once: "placed", "ended", "shipment/<id>", …
  at timestamptz NOT NULL, -- when it happened
  detail bytea NOT NULL, -- protobuf of what the kind needs; may be empty
  CONSTRAINT order_events_pk PRIMARY KEY (region, order_id, seq),
  CONSTRAINT order_events_cause_key UNIQUE (region, order_id, cause)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- One payment an order.
CREATE TABLE IF NOT EXISTS payments (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- what is paid; also the idempotency key at the network
  customer_id text NOT NULL, -- who pays
  state text NOT NULL, -- see services/payment
  amount_minor_units int8 NOT NULL, -- whole amount of the order
  currency text NOT NULL, -- ISO 4217
  card_token text NOT NULL, -- tok_…; empty for a payment closed before it began
  charge_id text NOT NULL, -- the network's id; empty while not known
  decline_code text NOT NULL, -- the network's reason; empty unless declined
  created_at timestamptz NOT NULL, -- when the money was first asked for
  updated_at timestamptz NOT NULL, -- last change of state
  hold bool NOT NULL DEFAULT false, -- the card is only authorized at first
  closing bool NOT NULL DEFAULT false, -- everything is being given back: nothing new may begin
  credit_minor_units int8 NOT NULL DEFAULT 0, -- part borne by payment_tenders; a card bears the rest
  uncaptured_minor_units int8 NOT NULL DEFAULT 0, -- AUTHORIZED: still held; afterwards: let go of
  refunded_minor_units int8 NOT NULL DEFAULT 0, -- given back in parts; REFUNDED means all of it
  CONSTRAINT payments_pk PRIMARY KEY (region, order_id),
  CONSTRAINT payments_state_is_listed CHECK (state IN ('PENDING', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'REFUNDED', 'VOIDED')),
  CONSTRAINT payments_amount_is_not_negative CHECK (amount_minor_units >= 0),
  CONSTRAINT payments_parts_are_in_range CHECK (credit_minor_units BETWEEN 0 AND amount_minor_units AND uncaptured_minor_units BETWEEN 0 AND amount_minor_units AND refunded_minor_units BETWEEN 0 AND amount_minor_units - uncaptured_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Gift cards and wallets that bear a part of a payment. A payment borne by one card has no row here.
CREATE TABLE IF NOT EXISTS payment_tenders (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- whose payment
  position int4 NOT NULL, -- from 1, in the order they are drawn on
  account_region crdb_internal_region NOT NULL, -- where the account's rows are homed: a gift card has a ring of its own
  account text NOT NULL, -- "gift_card/<hash>" or "wallet/<customer id>", as in ledger_entries
  amount_minor_units int8 NOT NULL, -- what was drawn, in the payment's currency
  captured_minor_units int8 NOT NULL, -- what was taken of it for good
  refunded_minor_units int8 NOT NULL, -- what went back of what was captured
  released_minor_units int8 NOT NULL, -- what went back without having been captured
  CONSTRAINT payment_tenders_pk PRIMARY KEY (region, order_id, position),
  CONSTRAINT payment_tenders_amount_is_positive CHECK (amount_minor_units > 0),
  CONSTRAINT payment_tenders_parts_are_in_range CHECK (refunded_minor_units >= 0 AND captured_minor_units >= refunded_minor_units AND released_minor_units >= 0 AND captured_minor_units + released_minor_units <= amount_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Captures and refunds of parts of a payment, each once. Written before the card network is asked.
CREATE TABLE IF NOT EXISTS payment_moves (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- whose payment
  kind text NOT NULL, -- CAPTURE or REFUND
  move_id text NOT NULL, -- the caller's: a shipment, a return
  state text NOT NULL, -- PENDING, DONE or REFUSED
  amount_minor_units int8 NOT NULL, -- in the payment's currency
  card_minor_units int8 NOT NULL, -- the card's share of it; gift cards and wallet bear the rest
  last bool NOT NULL, -- of captures: what is still held afterwards is let go of
  refusal text NOT NULL, -- the network's code; empty unless REFUSED
  created_at timestamptz NOT NULL, -- when it was first asked for
  updated_at timestamptz NOT NULL, -- last change of state
  CONSTRAINT payment_moves_pk PRIMARY KEY (region, order_id, kind, move_id),
  CONSTRAINT payment_moves_kind_is_known CHECK (kind IN ('CAPTURE', 'REFUND')),
  CONSTRAINT payment_moves_state_is_known CHECK (state IN ('PENDING', 'DONE', 'REFUSED')),
  CONSTRAINT payment_moves_share_is_in_range CHECK (card_minor_units BETWEEN 0 AND amount_minor_units)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

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

-- Store credit of customers.
CREATE TABLE IF NOT EXISTS wallets (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  currency text NOT NULL, -- ISO 4217; one balance each
  balance_minor_units int8 NOT NULL, -- what is left: the sum of its ledger entries
  updated_at timestamptz NOT NULL, -- last movement
  CONSTRAINT wallets_pk PRIMARY KEY (region, customer_id, currency),
  CONSTRAINT wallets_balance_is_not_negative CHECK (balance_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

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

-- Work in several steps that must end, whatever dies in between.
CREATE TABLE IF NOT EXISTS sagas (
  region crdb_internal_region NOT NULL, -- the customer's ring
  saga_id text NOT NULL, -- random, or the id of what the saga makes
  kind text NOT NULL, -- which saga, for example "placement"
  customer_id text NOT NULL, -- for whom; decides the slot
  slot int2 NOT NULL, -- of the customer: the slot's owner resumes it
  status text NOT NULL, -- see internal/saga
  step text NOT NULL, -- next step to do, or to undo
  state bytea NOT NULL, -- protobuf of what the steps remember
  attempts int4 NOT NULL, -- tries of the current step so far
  due_at timestamptz NOT NULL, -- when somebody should look after it
  holder text NOT NULL, -- run that works on it now: cell and a random token
  last_error text NOT NULL, -- reason of the last failed try; empty when there was none
  created_at timestamptz NOT NULL, -- when it began
  updated_at timestamptz NOT NULL, -- last step taken
  epoch int8 NOT NULL DEFAULT 0, -- of the slot when the saga was taken; a holder of an older one can do nothing any more
  parked_from text NOT NULL DEFAULT '', -- what a PARKED saga was: RUNNING or UNDOING
  operator_note text NOT NULL DEFAULT '', -- why operators changed it: a line each, with the time
  CONSTRAINT sagas_pk PRIMARY KEY (region, saga_id),
  CONSTRAINT sagas_status_is_known CHECK (status IN ('RUNNING', 'UNDOING', 'DONE', 'UNDONE', 'PARKED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Live sagas by the time they need looking after.
CREATE INDEX IF NOT EXISTS sagas_due ON sagas (region, due_at, slot) WHERE status IN ('RUNNING', 'UNDOING');

-- Sagas that wait for an operator.
CREATE INDEX IF NOT EXISTS sagas_parked ON sagas (region, updated_at) WHERE status = 'PARKED';

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

-- Keys that can be forgotten.
CREATE INDEX IF NOT EXISTS idempotency_keys_expiry ON idempotency_keys (region, expires_at);

-- Which orders redeemed a voucher. The row of an order makes that happen once, and stays as a tombstone when it is given back.
CREATE TABLE IF NOT EXISTS voucher_redemptions (
  region crdb_internal_region NOT NULL, -- the voucher's home, not the customer's ring
  code text NOT NULL, -- which voucher
  order_id text NOT NULL, -- by which order
  customer_id text NOT NULL, -- whose
  state text NOT NULL, -- REDEEMED, or GIVEN_BACK: then it counts no longer, and cannot be redeemed again
  changed_at timestamptz NOT NULL, -- last change of state
  CONSTRAINT voucher_redemptions_pk PRIMARY KEY (region, code, order_id),
  CONSTRAINT voucher_redemptions_state_is_known CHECK (state IN ('REDEEMED', 'GIVEN_BACK'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- How often a voucher that has a limit is redeemed, by everybody and by each customer.
CREATE TABLE IF NOT EXISTS voucher_uses (
  region crdb_internal_region NOT NULL, -- the voucher's home
  code text NOT NULL, -- which voucher
  holder text NOT NULL, -- a customer, or '*' for everybody
  uses int8 NOT NULL, -- redemptions that were not given back
  CONSTRAINT voucher_uses_pk PRIMARY KEY (region, code, holder),
  CONSTRAINT voucher_uses_are_not_negative CHECK (uses >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What customers write about products: reviews, questions and answers. The published copies are made of it by events.
CREATE TABLE IF NOT EXISTS contributions (
  region crdb_internal_region NOT NULL, -- the author's ring
  contribution_id text NOT NULL, -- <ring>-…; of a review it follows from author, order and line, so that there is one
  customer_id text NOT NULL, -- the author
  kind text NOT NULL, -- REVIEW, QUESTION, ANSWER
  sku text NOT NULL, -- about what
  order_id text NOT NULL, -- of a review: the order it is about; else empty
  line int4 NOT NULL, -- of a review: the order's line; else 0
  question_id text NOT NULL, -- of an answer: to what; else empty
  rating int4 NOT NULL, -- of a review: 1 to 5 stars; 0 else, and when it is deleted
  title text NOT NULL, -- of a review
  body text NOT NULL, -- what is said; empty when it is deleted
  author text NOT NULL, -- as the author wants to be called; empty when the account is erased
  buyer bool NOT NULL, -- the author has bought the product
  state text NOT NULL, -- PUBLISHED, HELD, REJECTED, DELETED
  held_for text NOT NULL, -- rules of moderation that stopped it, joined by commas
  reason text NOT NULL, -- what the operator who decided said
  version int8 NOT NULL, -- grows with each change
  written_at timestamptz NOT NULL, -- first time of writing
  changed_at timestamptz NOT NULL, -- last change
  CONSTRAINT contributions_pk PRIMARY KEY (region, contribution_id),
  CONSTRAINT contributions_kind_is_listed CHECK (kind IN ('REVIEW', 'QUESTION', 'ANSWER')),
  CONSTRAINT contributions_state_is_listed CHECK (state IN ('PUBLISHED', 'HELD', 'REJECTED', 'DELETED')),
  CONSTRAINT contributions_reviews_have_stars CHECK ((rating BETWEEN 1 AND 5) = (kind = 'REVIEW' AND state <> 'DELETED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What a customer has written, by time.
CREATE INDEX IF NOT EXISTS contributions_author ON contributions (region, customer_id, written_at, contribution_id);

-- What waits for an operator.
CREATE INDEX IF NOT EXISTS contributions_held ON contributions (region, changed_at) WHERE state = 'HELD';

-- How customers voted on what others wrote: one row for each, with the last word.
CREATE TABLE IF NOT EXISTS contribution_votes (
  region crdb_internal_region NOT NULL, -- the voter's ring
  customer_id text NOT NULL, -- the voter
  contribution_id text NOT NULL, -- on what; its author may be of another ring
  sku text NOT NULL, -- what that is about
  vote int2 NOT NULL, -- 1 helpful, -1 not helpful, 0 taken back
  version int8 NOT NULL, -- grows with each change
  voted_at timestamptz NOT NULL, -- last change
  CONSTRAINT contribution_votes_pk PRIMARY KEY (region, customer_id, contribution_id),
  CONSTRAINT contribution_votes_vote_is_listed CHECK (vote IN (-1, 0, 1))
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

-- Finds the links to forget.
CREATE INDEX IF NOT EXISTS account_tokens_expiry ON account_tokens (region, expires_at);

-- What customers are to be told, each thing once by each channel.
CREATE TABLE IF NOT EXISTS notifications (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- who is told
  cause text NOT NULL, -- what makes it happen once, for example "order/<id>/shipment/<id>"
  kind text NOT NULL, -- as the enum of package cellar.notification.v1 has it
  detail bytea NOT NULL, -- protobuf cellar.notification.v1.Notice; empty once it is told
  pending int2 NOT NULL, -- channels by which it is still to be told, a bit each
  begun int2 NOT NULL, -- channels by which it may have been told: a try began, and how it ended is not known
  repeated int2 NOT NULL, -- channels by which it has been told once more after such a try
  state text NOT NULL, -- WAITING, DONE or PARKED
  attempts int4 NOT NULL, -- tries so far
  due_at timestamptz NOT NULL, -- when it is tried next; when it is forgotten, once it has ended
  created_at timestamptz NOT NULL, -- time of the cause
  CONSTRAINT notifications_pk PRIMARY KEY (region, customer_id, cause),
  CONSTRAINT notifications_state_is_known CHECK (state IN ('WAITING', 'DONE', 'PARKED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- Finds what to tell, and what to forget.
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (region, due_at);

-- Of what customers want to be told, and how.
CREATE TABLE IF NOT EXISTS notification_settings (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  settings bytea NOT NULL, -- protobuf cellar.notification.v1.Settings
  changed_at timestamptz NOT NULL, -- time of the last change
  CONSTRAINT notification_settings_pk PRIMARY KEY (region, customer_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- What shoppers have put aside of their carts, to buy another time. An order never takes from here.
CREATE TABLE IF NOT EXISTS saved_lines (
  region crdb_internal_region NOT NULL, -- the shopper's ring
  customer_id text NOT NULL, -- customer or guest
  sku text NOT NULL, -- one line a product
  quantity int8 NOT NULL, -- 1 to 999, as it was in the cart
  price_minor_units int8 NOT NULL, -- price of one unit when it was put into the cart
  currency text NOT NULL, -- ISO 4217, of that price
  saved_at timestamptz NOT NULL, -- when it was put aside; orders what is saved
  CONSTRAINT saved_lines_pk PRIMARY KEY (region, customer_id, sku),
  CONSTRAINT saved_lines_quantity_is_in_range CHECK (quantity BETWEEN 1 AND 999),
  CONSTRAINT saved_lines_price_is_not_negative CHECK (price_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;

-- The public halves of what customers sign in with in place of a password.
CREATE TABLE IF NOT EXISTS passkeys (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  passkey_id text NOT NULL, -- made of the credential's id: one passkey is in once
  credential_id bytea NOT NULL, -- as its authenticator knows it
  public_key bytea NOT NULL, -- in COSE
  name text NOT NULL, -- what the customer calls it
  uses int8 NOT NULL, -- as its authenticator counts them; 0 for ever where it does not
  syncable bool NOT NULL, -- its maker may copy it to other devices
  synced bool NOT NULL, -- and has
  created_at timestamptz NOT NULL, -- when it was added
  used_at timestamptz, -- when somebody signed in with it last
  CONSTRAINT passkeys_pk PRIMARY KEY (region, customer_id, passkey_id),
  CONSTRAINT passkeys_uses_are_not_negative CHECK (uses >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
