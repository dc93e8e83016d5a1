-- What else was bought by those who bought a product. Made offline from the order history, all of it at a time.
CREATE TABLE IF NOT EXISTS also_bought (
  sku text NOT NULL, -- the product
  others bytea NOT NULL, -- protobuf cellar.recommendation.v1.AlsoBought
  trained_at timestamptz NOT NULL, -- when it was made
  CONSTRAINT also_bought_pk PRIMARY KEY (sku)
) /*@LOCALITY GLOBAL@*/;
