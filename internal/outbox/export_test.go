package outbox

import "time"

// PageSize of events that are forgotten or replayed.
const PageSize = pageSize

// FirstID of a time.
func FirstID(t time.Time) int64 { return firstID(t) }

// LeaseOf the shard of a key.
func LeaseOf(key string) int { return int(shardOf(key)) % leases }
