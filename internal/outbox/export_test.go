package outbox

// LeaseOf the shard of a key.
func LeaseOf(key string) int { return int(shardOf(key)) % leases }
