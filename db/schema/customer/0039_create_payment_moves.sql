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
