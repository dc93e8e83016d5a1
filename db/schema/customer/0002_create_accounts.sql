-- Customers who signed up.
CREATE TABLE IF NOT EXISTS accounts (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- c-<ring>-…
  email text NOT NULL, -- lower case, as in email_directory
  name text NOT NULL, -- to greet by
  password_hash text NOT NULL, -- argon2id, PHC string format
  created_at timestamptz NOT NULL, -- time of sign-up
  CONSTRAINT accounts_pk PRIMARY KEY (region, customer_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
