-- When what is left to erase elsewhere is tried next; none when nothing is left.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS erasure_due_at timestamptz;
