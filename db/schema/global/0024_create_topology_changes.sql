-- The audit trail of whatever changed the map or was decided about it. Rows are only added.
CREATE TABLE IF NOT EXISTS topology_changes (
  change_id text NOT NULL, -- ascends with time: microseconds since 1970 in hexadecimal digits, and chance
  at timestamptz NOT NULL, -- when
  who text NOT NULL, -- operator, or the control plane itself
  reason text NOT NULL, -- why
  action text NOT NULL, -- what was done, for example "cell added"
  subject text NOT NULL, -- to what: a cell, a region, a customer, an evacuation
  map_version int8 NOT NULL, -- the map that it made, or that was in force
  CONSTRAINT topology_changes_pk PRIMARY KEY (change_id)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
