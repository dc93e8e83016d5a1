-- What waits for an operator.
CREATE INDEX IF NOT EXISTS contributions_held ON contributions (region, changed_at) WHERE state = 'HELD';
