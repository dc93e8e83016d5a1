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
  CONSTRAINT products_pk PRIMARY KEY (sku),
  CONSTRAINT products_price_is_not_negative CHECK (price_minor_units >= 0),
  CONSTRAINT products_popularity_is_in_range CHECK (popularity BETWEEN 0 AND 1000000),
  CONSTRAINT products_weight_is_not_negative CHECK (weight_grams >= 0)
) /*@LOCALITY GLOBAL@*/;
