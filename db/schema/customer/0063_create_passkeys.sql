-- The public halves of what customers sign in with in place of a password.
CREATE TABLE IF NOT EXISTS passkeys (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  passkey_id text NOT NULL, -- made of the credential's id: one passkey is in once
  credential_id bytea NOT NULL, -- as its authenticator knows it
  public_key bytea NOT NULL, -- in COSE
  name text NOT NULL, -- what the customer calls it
  uses int8 NOT NULL, -- as its authenticator counts them; 0 for ever where it does not
  syncable bool NOT NULL, -- its maker may copy it to other devices
  synced bool NOT NULL, -- and has
  created_at timestamptz NOT NULL, -- when it was added
  used_at timestamptz, -- when somebody signed in with it last
  CONSTRAINT passkeys_pk PRIMARY KEY (region, customer_id, passkey_id),
  CONSTRAINT passkeys_uses_are_not_negative CHECK (uses >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
