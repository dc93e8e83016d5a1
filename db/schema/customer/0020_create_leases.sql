-- Who does a piece of background work now. Advisory locks are silent no-ops on CockroachDB, so a row it is.
CREATE TABLE IF NOT EXISTS leases (
  region crdb_internal_region NOT NULL, -- region of the work
  name text NOT NULL, -- the work, for example "outbox/3"
  holder text NOT NULL, -- cell that does it
  until timestamptz NOT NULL, -- when it must have been renewed, by the database's clock
  CONSTRAINT leases_pk PRIMARY KEY (region, name)
) /*@LOCALITY REGIONAL BY ROW AS region @*/;
