package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams; each exists in every region.
const (
	// StreamFulfillment holds what the region's fulfilment centres are asked to do.
	StreamFulfillment = "FULFILLMENT"
	// StreamOrder holds what happened to orders of customers homed in the region.
	StreamOrder = "ORDER"
	// StreamStock holds what happened to stock: within the region, and to the others' summaries.
	StreamStock = "STOCK"
	// StreamCatalog holds changes of products.
	StreamCatalog = "CATALOG"
	// StreamSearch holds what was searched for in the region.
	StreamSearch = "SEARCH"
)

// dedupWindow in which a message id is remembered: far longer than a relay takes to be replaced after a crash.
const dedupWindow = 15 * time.Minute

// maxMessage in bytes: an order of 200 lines has some 20 kB, a product with a long description 60 kB.
const maxMessage = 512 << 10

// maxBytes of a stream's file.
const maxBytes = 1 << 30

// searchDedup is short: nothing publishes a search's log a second time but a try of the same minute.
const searchDedup = 2 * time.Minute

// streams of a region. At 1.6M orders a day and a 30-fold peak a region sees some 200 orders a second of 2 kB; the outbox
// can fill a lost broker again for 24 hours, so the streams keep as much, and bounded bytes in any case.
// A search's log has some 400 bytes: a thousand a second fill their stream in three quarters of an hour, and the oldest go first.
func streams() []jetstream.StreamConfig {
	base := func(name, description string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: description, Subjects: subjects,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
			MaxAge: 24 * time.Hour, MaxBytes: maxBytes, MaxMsgSize: maxMessage, Duplicates: dedupWindow, Replicas: 1, AllowAtomicPublish: true,
		}
	}
	searches := base(StreamSearch, "what was searched for here", "search.>")
	searches.Duplicates = searchDedup
	return []jetstream.StreamConfig{
		base(StreamFulfillment, "what the region's fulfilment centres are asked to do", "fulfillment.>"),
		base(StreamOrder, "what happened to orders of customers homed here", "order.>"),
		base(StreamStock, "changes of stock that summaries are made of", "stock.>"),
		base(StreamCatalog, "changes of products", "catalog.>"),
		searches,
	}
}
