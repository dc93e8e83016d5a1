-- Which FCs have some of a product, and about how much there is: a hint for the planner, kept by events. Each region has
-- a row of its own for each region that stocks the product.
CREATE TABLE IF NOT EXISTS stock_summaries (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- of what
  source_region text NOT NULL, -- whose FCs it is about
  fcs bytea NOT NULL, -- a bit for each FC that has some, by its ordinal, lowest first
  units int8 NOT NULL, -- available there when it was last looked at
  version int8 NOT NULL, -- grows with each change; of two the higher one counts
  changed_at timestamptz NOT NULL, -- last change
  CONSTRAINT stock_summaries_pk PRIMARY KEY (region, sku, source_region),
  CONSTRAINT stock_summaries_units_are_not_negative CHECK (units >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
