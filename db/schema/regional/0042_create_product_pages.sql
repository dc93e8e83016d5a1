-- What a product's page shows to everybody, one row a product, so that a page needs one look-up. Everything in it can be made
-- again from the rows of others.
CREATE TABLE IF NOT EXISTS product_pages (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- whose page
  card bytea NOT NULL, -- protobuf cellar.storefront.v1.Card: what other pages show of the product
  page bytea NOT NULL, -- protobuf cellar.storefront.v1.Page
  near text[] NOT NULL, -- SKUs of the products whose cards the page shows
  asked int8 NOT NULL, -- how often it was asked to be made anew: counted before what it is made of is read
  built int8 NOT NULL, -- which of these it answers; 0 before the first is answered, and nothing to be shown
  built_at timestamptz NOT NULL, -- when it was made
  CONSTRAINT product_pages_pk PRIMARY KEY (region, sku),
  CONSTRAINT product_pages_answer_what_was_asked CHECK (built BETWEEN 0 AND asked)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
