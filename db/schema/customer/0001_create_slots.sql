-- Who owns which customers. The fence of every customer write reads its row here.
CREATE TABLE IF NOT EXISTS slots (
  region crdb_internal_region NOT NULL, -- the ring
  slot int2 NOT NULL, -- 0 to 4095: top 12 bits of xxHash64 of the customer id
  owner text NOT NULL, -- cell that may write
  epoch int8 NOT NULL, -- grows by one at each change of owner
  changed_at timestamptz NOT NULL, -- time of the last change
  CONSTRAINT slots_pk PRIMARY KEY (region, slot),
  CONSTRAINT slots_slot_is_in_range CHECK (slot BETWEEN 0 AND 4095),
  CONSTRAINT slots_epoch_is_positive CHECK (epoch > 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
