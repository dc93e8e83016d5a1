// Package outbox carries events out of the database, once their effect is committed.
//
// Enqueue writes an event in the transaction of its effect: both happen or neither does. A
// Relay publishes what is pending and marks it. Events lie in 16 shards by their key; the
// holder of a shard's lease publishes it, so that events of one key leave in order, while the
// cells of a region share the work. What one cell holds leaves together.
//
//	effect + row ──commit──▶ pending ──publish, acknowledged──▶ published ──window over──▶ gone
//
// A relay that dies between publishing and marking publishes again: the broker drops what it
// has seen (message id), and so does the receiver's inbox. Each destination region has a
// breaker of its own: while it is open its events wait, in order, and all others flow.
// Published rows stay for a replay window, so that a broker that lost its disk can be filled
// again.
package outbox
