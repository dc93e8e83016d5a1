-- Who sold a line, by the name it was ordered under; empty for what was ordered before.
ALTER TABLE order_lines ADD COLUMN IF NOT EXISTS seller text NOT NULL DEFAULT '';
