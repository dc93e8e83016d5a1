-- Evacuations and other moves of slots: one row each, from the command to long after its end.
CREATE TABLE IF NOT EXISTS evacuations (
  evacuation_id text NOT NULL, -- ev-…, random
  kind text NOT NULL, -- EVACUATION, REBALANCE, UNDO or REVERT
  state text NOT NULL, -- see cells/evacuation
  revision int8 NOT NULL, -- grows by one at each change: whoever changes the row names the one it has read
  changing bool NOT NULL, -- slots are on their way: at most one move may be so at a time
  who text NOT NULL, -- who wants it
  reason text NOT NULL, -- why
  started_at timestamptz NOT NULL, -- time of the command
  ended_at timestamptz, -- when it was done, or all was back; NULL before
  expires_at timestamptz, -- when it is undone by itself; NULL for never
  undoes_id text NOT NULL, -- the move that this one takes back; empty for none
  undone_by_id text NOT NULL, -- the move that takes this one back; empty for none
  states_before jsonb NOT NULL, -- cell to its state before, of the cells whose state the move changes
  states_after jsonb NOT NULL, -- cell to its state when the move is done
  map_version int8 NOT NULL, -- first version of the map that has what was flipped; 0 before
  evacuation bytea NOT NULL, -- protobuf cellar.topology.v1.Evacuation: plan, phases, findings
  CONSTRAINT evacuations_pk PRIMARY KEY (evacuation_id),
  CONSTRAINT evacuations_kind_is_known CHECK (kind IN ('EVACUATION', 'REBALANCE', 'UNDO', 'REVERT')),
  CONSTRAINT evacuations_state_is_known CHECK (state IN ('PLANNED', 'FLIPPING', 'PUBLISHING', 'CONVERGING', 'VERIFYING', 'DONE', 'ABORTING', 'ABORTED', 'UNDONE'))
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
