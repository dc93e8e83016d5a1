-- The lever that stops all automatic evacuations, and what automation must remember whoever leads. One row.
CREATE TABLE IF NOT EXISTS automation (
  name text NOT NULL, -- 'evacuation'
  enabled bool NOT NULL, -- false: nothing is moved but by people
  who text NOT NULL, -- who moved the lever last
  reason text NOT NULL, -- why
  changed_at timestamptz NOT NULL, -- when the lever was moved last
  moved_cell text NOT NULL, -- cell that automation evacuated last; empty for none
  moved_at timestamptz NOT NULL, -- when that was; the next must wait
  CONSTRAINT automation_pk PRIMARY KEY (name)
) /*@LOCALITY REGIONAL BY TABLE IN PRIMARY REGION @*/;
