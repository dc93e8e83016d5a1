-- What is published about a product, by helpfulness.
CREATE INDEX IF NOT EXISTS published_contributions_standing ON published_contributions (region, sku, kind, question_id, standing, written_at, contribution_id) WHERE state = 'PUBLISHED';
