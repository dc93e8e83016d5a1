-- The fleet: what the map says of cells beside what they own. Whatever changes here is in the next map.
CREATE TABLE IF NOT EXISTS cells (
  cell_id text NOT NULL, -- for example "use1-a"
  region text NOT NULL, -- where it runs
  state text NOT NULL, -- as topology.State has it
  weight int4 NOT NULL, -- its share of its ring, relative to the others'
  capacity int4 NOT NULL, -- requests a second that it can carry; 0 when nobody has said
  public_address text NOT NULL, -- host:port for routers
  internal_address text NOT NULL, -- host:port for other cells
  admin_address text NOT NULL, -- host:port for probes
  changed_at timestamptz NOT NULL, -- time of the last change
  CONSTRAINT cells_pk PRIMARY KEY (cell_id),
  CONSTRAINT cells_state_is_known CHECK (state IN ('active', 'draining', 'evacuated', 'quarantined', 'canary')),
  CONSTRAINT cells_weight_is_in_range CHECK (weight BETWEEN 0 AND 10000),
  CONSTRAINT cells_capacity_is_not_negative CHECK (capacity >= 0)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
