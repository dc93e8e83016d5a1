-- Work in several steps that must end, whatever dies in between.
CREATE TABLE IF NOT EXISTS sagas (
  region crdb_internal_region NOT NULL, -- the customer's ring
  saga_id text NOT NULL, -- random, or the id of what the saga makes
  kind text NOT NULL, -- which saga, for example "placement"
  customer_id text NOT NULL, -- for whom; decides the slot
  slot int2 NOT NULL, -- of the customer: the slot's owner resumes it
  status text NOT NULL, -- see internal/saga
  step text NOT NULL, -- next step to do, or to undo
  state bytea NOT NULL, -- protobuf of what the steps remember
  attempts int4 NOT NULL, -- tries of the current step so far
  due_at timestamptz NOT NULL, -- when somebody should look after it
  holder text NOT NULL, -- run that works on it now: cell and a random token
  last_error text NOT NULL, -- reason of the last failed try; empty when there was none
  created_at timestamptz NOT NULL, -- when it began
  updated_at timestamptz NOT NULL, -- last step taken
  CONSTRAINT sagas_pk PRIMARY KEY (region, saga_id),
  CONSTRAINT sagas_status_is_known CHECK (status IN ('RUNNING', 'UNDOING', 'DONE', 'UNDONE', 'PARKED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
