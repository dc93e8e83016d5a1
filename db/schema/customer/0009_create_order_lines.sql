-- The products of an order at the prices charged.
CREATE TABLE IF NOT EXISTS order_lines (
  region crdb_internal_region NOT NULL, -- the customer's ring
  order_id text NOT NULL, -- which order
  line int4 NOT NULL, -- from 1
  sku text NOT NULL, -- the product
  title text NOT NULL, -- its title when it was ordered
  quantity int8 NOT NULL, -- 1 to 999
  unit_price_minor_units int8 NOT NULL, -- in the order's currency
  CONSTRAINT order_lines_pk PRIMARY KEY (region, order_id, line),
  CONSTRAINT order_lines_quantity_is_in_range CHECK (quantity BETWEEN 1 AND 999),
  CONSTRAINT order_lines_price_is_not_negative CHECK (unit_price_minor_units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
