// Package feed writes what happens in a region into search indexes for analytics: orders' events, news of stock, and what was
// searched for.
//
//	streams ORDER, FULFILLMENT, STOCK, SEARCH ──durable consumers──▶ one cell of the region, by a lease ──▶ Quickwit
//
// Each event becomes a document whose id is that of its message. A document is written at least once: one whose answer was lost is
// there twice, under one id. The streams are the buffer: while Quickwit is away nothing is consumed, and it goes on from there. The
// place is the broker's to keep, so another cell takes over without a gap. What cannot be written becomes a dead letter.
//
// No document says who: customers' ids, names, addresses and tracking numbers stay behind.
package feed
