// Package order keeps orders as append-only events; what is shown is their projection.
//
// An order is three machines, never one flat list of states. The order:
//
//	PENDING ──paid──▶ PAID ──every parcel left or canceled──▶ SHIPPED
//	   │                └────every parcel canceled──────────▶ CANCELED
//	   └────failed──▶ FAILED
//
// Its money, as the order knows it:
//
//	(none) ──▶ CAPTURED ──────▶ PARTLY_REFUNDED ──▶ REFUNDED
//	   │          ▲  └───────────────────────────────▲
//	   │          │ the last shipment
//	   └─held─▶ AUTHORIZED ──▶ PARTLY_CAPTURED ──▶ PARTLY_REFUNDED, REFUNDED
//	                └──▶ VOIDED
//
// And each parcel, which is what one fulfilment centre (FC) sends:
//
//	REQUESTED ──▶ PACKED ──▶ SHIPPED ──▶ PARTLY_RETURNED ──▶ RETURNED
//	    └──▶ CANCELED
//
// The tables of the machines (machines.go) hold every move there is; an event that asks for
// another one is refused before it is written, and a log that has one is no order.
//
// What was agreed (lines, prices, address) is written once, at placement. Everything after
// that is an event with a cause that is unique in the order, so that a repeated command or a
// redelivered message appends nothing. The order's status and its last event's number are
// stored beside it in the same transaction and can always be made anew from the events; a test
// does.
//
// Paying and asking the FCs to ship are one transaction: the event, the projection and one
// outbox row for each parcel stand or fall together.
//
// What follows an order are sagas that only go forward (sagas.go): a cancellation (cancel.go),
// a return (returns.go), and, where money was only held, the capture of each shipment's part
// (capture.go). A parcel that its carrier sends back is a return that nobody asks for
// (sentback.go). What an FC does not find on its shelf is planned anew (shortpick.go). How money is shared out, to the last cent, is in shares.go.
package order
