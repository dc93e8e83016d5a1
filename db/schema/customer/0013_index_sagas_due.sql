-- Live sagas by the time they need looking after.
CREATE INDEX IF NOT EXISTS sagas_due ON sagas (region, due_at, slot) WHERE status IN ('RUNNING', 'UNDOING');
