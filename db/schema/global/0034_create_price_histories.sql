-- What products cost before, as far as a reduction has to be told by: the lowest price of the 30 days before it. A product whose
-- price has never changed has no row.
CREATE TABLE IF NOT EXISTS price_histories (
  sku text NOT NULL, -- the product
  history bytea NOT NULL, -- protobuf cellar.catalog.v1.PriceHistory, of at most 16 past prices
  CONSTRAINT price_histories_pk PRIMARY KEY (sku)
) /*@LOCALITY GLOBAL@*/;
