// Package router takes shoppers' requests to the cell that owns them. It knows the map, and
// nothing of shopping.
//
//	request ─▶ resolve ─┬─ a session: the owner of its customer's slot, wherever that is
//	                    └─ none: the less busy of two healthy cells of this region
//	        ─▶ forward ─┬─ an answer
//	                    ├─ "wrong cell": learnt, and sent to the cell that was named
//	                    └─ never reached the cell: wait a little for a better map, try again
//
// The session is parsed and not trusted: it only chooses the cell, which verifies it. A request
// is sent again only when nothing of it can have taken effect: the cell was never reached,
// or said itself that it did nothing; or when it says of itself that it may be repeated (GET,
// or an Idempotency-Key).
//
// A cell that keeps failing is ejected by a breaker of its own; its customers wait up to a
// moment for their slots to move, and then hear UNAVAILABLE with a time to come back. Others do
// not notice. Nothing on the request path asks anybody but a cell.
package router
