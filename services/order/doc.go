// Package order keeps orders as append-only events; their status is a projection.
//
//	PENDING ──paid──▶ PAID ──every parcel shipped──▶ SHIPPED
//	   └────failed──▶ FAILED
//
// What was agreed (lines, prices, address) is written once, at placement. Everything after
// that is an event with a cause that is unique in the order, so that a repeated command or a
// redelivered message appends nothing. The projection is stored beside the order in the same
// transaction and can always be made anew from the events; a test does.
//
// Paying and asking the fulfilment centres to ship are one transaction: the event, the
// projection and one outbox row for each parcel stand or fall together.
package order
