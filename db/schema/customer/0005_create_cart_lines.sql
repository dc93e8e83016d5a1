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
