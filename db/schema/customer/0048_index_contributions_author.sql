-- What a customer has written, by time.
CREATE INDEX IF NOT EXISTS contributions_author ON contributions (region, customer_id, written_at, contribution_id);
