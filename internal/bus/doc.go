// Package bus carries messages between regions; the only importer of NATS.
//
// Each region has a broker of its own, a JetStream domain that knows of no other. Whoever has a
// message for a region publishes to that region's broker and waits for its acknowledgement,
// which is given once the message is on disk. No agreement spans regions, so a region that is
// away delays only what is meant for it.
//
// Consume shares a durable consumer among all processes that use its name: each message is
// handled by one of them, again until it succeeds. Follow shows every message to every process,
// for things that each keeps in memory, such as search indexes.
package bus
