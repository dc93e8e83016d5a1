// Package cells is what a cell is: the full service set in one process, assembled by hand.
//
// A cell serves the customers whose slots it owns, and takes its share of its region's work:
// relaying events, sweeping holds, shipping. Services meet through their Connect interfaces:
// those of this process are handed to each other directly, and for another region's inventory,
// or the owner of another customer, a client stands in.
//
//	public listener    rpc.Public ─┐
//	                               ├─▶ account catalog search cart checkout inventory order payment fulfillment
//	internal listener  rpc.Internal┘        │              │
//	                                  cellar_* databases   outbox ──relay──▶ brokers ──▶ consumers
//
// It becomes ready when its search index is built, and not before. A broker or another region
// that is away keeps no cell from starting or selling: events wait in the outbox.
package cells
