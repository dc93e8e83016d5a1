-- Addresses a customer saved.
CREATE TABLE IF NOT EXISTS addresses (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  address_id text NOT NULL, -- random
  address bytea NOT NULL, -- protobuf cellar.postal.v1.PostalAddress
  created_at timestamptz NOT NULL, -- time of saving
  CONSTRAINT addresses_pk PRIMARY KEY (region, customer_id, address_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
