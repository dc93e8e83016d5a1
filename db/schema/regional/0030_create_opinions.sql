-- What a product's page shows of what was written about it: one row a product, so that a page needs one look-up.
CREATE TABLE IF NOT EXISTS opinions (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- about what
  stars_1 int8 NOT NULL, -- published reviews that give one star
  stars_2 int8 NOT NULL, -- two
  stars_3 int8 NOT NULL, -- three
  stars_4 int8 NOT NULL, -- four
  stars_5 int8 NOT NULL, -- five
  digest bytea NOT NULL, -- protobuf cellar.review.v1.Opinion: the most helpful reviews and questions, without the rating
  changed_at timestamptz NOT NULL, -- last change
  CONSTRAINT opinions_pk PRIMARY KEY (region, sku),
  CONSTRAINT opinions_stars_are_not_negative CHECK (stars_1 >= 0 AND stars_2 >= 0 AND stars_3 >= 0 AND stars_4 >= 0 AND stars_5 >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
