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
  CONSTRAINT payments_pk PRIMARY KEY (region, order_id),
  CONSTRAINT payments_state_is_known CHECK (state IN ('PENDING', 'CAPTURED', 'DECLINED', 'REFUNDED', 'VOIDED')),
  CONSTRAINT payments_amount_is_not_negative CHECK (amount_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
