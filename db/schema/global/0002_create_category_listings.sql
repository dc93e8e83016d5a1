-- Which products a category shows, its sub-categories' included, so that browsing is one range of one index.
CREATE TABLE IF NOT EXISTS category_listings (
  category text NOT NULL, -- path of the category or of an ancestor of it
  popularity int4 NOT NULL, -- copied from the product
  sku text NOT NULL, -- the product
  CONSTRAINT category_listings_pk PRIMARY KEY (category, popularity, sku)
) /*@LOCALITY GLOBAL@*/;
