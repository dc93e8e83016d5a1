-- Of what customers want to be told, and how.
CREATE TABLE IF NOT EXISTS notification_settings (
  region crdb_internal_region NOT NULL, -- the customer's ring
  customer_id text NOT NULL, -- whose
  settings bytea NOT NULL, -- protobuf cellar.notification.v1.Settings
  changed_at timestamptz NOT NULL, -- time of the last change
  CONSTRAINT notification_settings_pk PRIMARY KEY (region, customer_id)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
