// Package fulfillment decides which fulfilment centre (FC) sends what, and sends it.
//
// PlanOrder is a pure choice over what the regions say they have: fewest parcels first, then
// the shortest way, by branch and bound (cover.go). It promises nothing; the reservation that follows may lose a race, and the
// order is planned again without that FC.
//
// Shipping runs in the FC's region. A paid order's request arrives as an event and becomes a
// shipment, once; after the handling time any cell of the region packs it, moves the stock off
// the books and tells the order's home region. Until it is packed it can be canceled:
//
//	                                    ┌──canceled──▶ CANCELED
//	                                    │
//	fulfillment.<region>.<fc>.requested ──▶ REQUESTED ──packed──▶ PACKED ──stock shipped──▶ SHIPPED ──▶ order.<ring>.shipped
//
// The shipment's row decides between the two: both are updates that want to find REQUESTED. A
// cancellation that arrives before the request makes the row itself, CANCELED, and the request
// that comes later finds it. What a crash leaves PACKED is sent by whoever finds it next.
package fulfillment
