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
  CONSTRAINT orders_pk PRIMARY KEY (region, order_id),
  CONSTRAINT orders_status_is_known CHECK (status IN ('PENDING', 'PAID', 'SHIPPED', 'FAILED')),
  CONSTRAINT orders_total_is_the_sum CHECK (total_minor_units = items_minor_units + shipping_minor_units + tax_minor_units),
  CONSTRAINT orders_amounts_are_not_negative CHECK (items_minor_units >= 0 AND shipping_minor_units >= 0 AND tax_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
