-- What is still to be published, in order.
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (region, shard, id) WHERE published_at IS NULL;
