// Package fulfillment decides which fulfilment centre (FC) sends what, and sends it.
//
// PlanOrder is a pure choice over what the FCs are believed to have: fewest parcels first, then the
// earliest day by which all are at the door, then the least cost (delivery.go), by branch and bound
// (cover.go). The belief comes from summaries that are kept in memory (known.go); FCs are asked where it
// is not enough (ask.go). It holds nothing: the reservation that follows may lose a race, and the
// order is planned again without that FC.
//
// Shipping runs in the FC's region. A paid order's request arrives as an event and becomes a
// shipment, once; with its wave (wave.go) any cell of the region packs it, books it with the
// carrier, hands it over, moves the stock off the books and tells the order's home region. Until
// it is packed it can be canceled:
//
//	                                    ┌──canceled──▶ CANCELED
//	                                    │
//	fulfillment.<region>.<fc>.requested ──▶ REQUESTED ──packed──▶ PACKED ──stock shipped──▶ SHIPPED ──▶ order.<ring>.shipped
//
// A picker who finds fewer units than planned says so before it is packed. The shipment is SHORT while they leave the books, and
// then REQUESTED with the rest, or CANCELED when there is none; the order has them sent from elsewhere (short.go):
//
//	REQUESTED ──missed──▶ SHORT ──off the books──▶ REQUESTED or CANCELED ──▶ order.<ring>.short
//
// The shipment's row decides between packing and canceling: both are updates that want to find REQUESTED. A
// cancellation that arrives before the request makes the row itself, CANCELED, and the request
// that comes later finds it. What a crash leaves PACKED is sent by whoever finds it next: what the
// carrier is asked was written with the request, under the shipment's id, and is the same each time.
//
// From then on the carrier scans it. Scans come by webhook (webhook.go), late, twice, in any order
// or never, and by asking (scans.go). They are numbered from 1, so a shipment's way is the unbroken
// run of those that are known, which is the same however they came; the order is told all of it
// each time it grows, and takes back what is sent back:
//
//	PICKED_UP ─▶ IN_TRANSIT … ─▶ OUT_FOR_DELIVERY ─▶ DELIVERED
//	                               ▲     └─▶ EXCEPTION ─▶ SENT_BACK
//	                               └────────────┘
package fulfillment
