-- Live sagas by the time they need looking after.
CREATE INDEX IF NOT EXISTS sagas_due ON sagas (region, slot, due_at) WHERE status IN ('RUNNING', 'UNDOING');
