-- Sagas that wait for an operator.
CREATE INDEX IF NOT EXISTS sagas_parked ON sagas (region, updated_at) WHERE status = 'PARKED';
