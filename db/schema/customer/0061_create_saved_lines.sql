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
