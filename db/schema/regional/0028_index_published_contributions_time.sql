-- What is published about a product, by time.
CREATE INDEX IF NOT EXISTS published_contributions_time ON published_contributions (region, sku, kind, written_at, contribution_id) WHERE state = 'PUBLISHED';
