-- What customers are to be told, each thing once by each channel.
CREATE TABLE IF NOT EXISTS notifications (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- who is told
  cause text NOT NULL, -- what makes it happen once, for example "order/<id>/shipment/<id>"
  kind text NOT NULL, -- as the enum of package cellar.notification.v1 has it
  detail bytea NOT NULL, -- protobuf cellar.notification.v1.Notice; empty once it is told
  pending int2 NOT NULL, -- channels by which it is still to be told, a bit each
  begun int2 NOT NULL, -- channels by which it may have been told: a try began, and how it ended is not known
  repeated int2 NOT NULL, -- channels by which it has been told once more after such a try
  state text NOT NULL, -- WAITING, DONE or PARKED
  attempts int4 NOT NULL, -- tries so far
  due_at timestamptz NOT NULL, -- when it is tried next; when it is forgotten, once it has ended
  created_at timestamptz NOT NULL, -- time of the cause
  CONSTRAINT notifications_pk PRIMARY KEY (region, customer_id, cause),
  CONSTRAINT notifications_state_is_known CHECK (state IN ('WAITING', 'DONE', 'PARKED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
