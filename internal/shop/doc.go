// Package shop plays shoppers: real requests to real routers, as a browser or an app would send
// them, and an honest account of what became of each.
//
// A shopper searches, looks at a product, fills a cart, asks for a quote and places the order
// with an idempotency key of its own. What a shopper does when something goes wrong is part of
// the play: a request whose answer was lost is sent again under the same key, and when that
// does not help GetCheckout is asked until it tells. An order therefore ends as placed, as
// refused with a reason, or — the one outcome that is a fault — unresolved.
//
// Shoppers come one after the other, as fast as they are served, or at a rate: then orders are
// due at drawn times whatever becomes of those before them, and one that nobody was free for
// is begun late, counted as late, and timed from when it was due.
package shop
