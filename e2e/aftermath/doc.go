// Package aftermath proves what follows an order: that every parcel either ships and is paid
// for, or is canceled, given back to the shelf and refunded; never both, and never neither.
//
// The tests put the real order, fulfilment and inventory services together over several
// regions, as cells do, and let cancellations meet shipments at every moment. What is checked
// are the rows of the databases and what the money's till has, which have to tell one story.
package aftermath
