-- The history of the map. The newest row is the map; who owns a slot is decided by the table slots of cellar_customer, from
-- which each of these was made. At most a thousand versions are kept.
CREATE TABLE IF NOT EXISTS maps (
  version int8 NOT NULL, -- from 1, without gaps; the key is what decides between two who publish at once
  snapshot bytea NOT NULL, -- as routers and cells get it, signed; at most 512 KiB
  made_at timestamptz NOT NULL, -- when
  who text NOT NULL, -- operator, or the control plane itself
  reason text NOT NULL, -- why, in the words of whoever wanted it
  CONSTRAINT maps_pk PRIMARY KEY (version),
  CONSTRAINT maps_version_is_positive CHECK (version > 0)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
