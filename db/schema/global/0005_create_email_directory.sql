-- Which customer an e-mail address belongs to; the account itself lives in its ring.
CREATE TABLE IF NOT EXISTS email_directory (
  email text NOT NULL, -- lower case
  customer_id text NOT NULL, -- carries the ring
  claimed_at timestamptz NOT NULL, -- when the address was claimed; the account row follows
  CONSTRAINT email_directory_pk PRIMARY KEY (email)
) /*@LOCALITY GLOBAL@*/;
