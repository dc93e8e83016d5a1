-- What can be deleted once the replay window is over.
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (region, shard, published_at) WHERE published_at IS NOT NULL;
