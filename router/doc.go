// Package router takes shoppers' requests to the cell that owns them. It knows the map, and
// nothing of shopping.
//
//	request ─▶ resolve ─┬─ a session: the owner of its customer's slot, wherever that is
//	                    └─ none: the less busy of two healthy cells of this region
//	        ─▶ forward ─┬─ an answer
//	                    ├─ "wrong cell": learnt, and sent to the cell that was named
//	                    ├─ never reached the cell: another one (no session), or the same
//	                    │  after a look at the map (a session)
//	                    └─ the answer was lost: once more, if nothing is done twice by that
//
// The session is parsed and not trusted: it only chooses the cell, which verifies it. A request
// is sent again when nothing of it can have taken effect: the cell was never reached, or said
// itself that it did nothing. And once more when its answer was lost, if its method is declared
// to do nothing twice: by itself, or for an Idempotency-Key that the request has.
//
// A cell that keeps failing is ejected by a breaker of its own:
//
//	closed ──5 failures in a row──▶ open ──500 ms──▶ half-open ──1 answer──▶ closed
//	                                 ▲                   │
//	                                 └─────1 failure─────┘
//
// Its customers wait up to a moment for their slots to move, and then hear UNAVAILABLE with a
// time to come back; once it has been away for that moment, they hear it at once. Others do not
// notice. Nothing on the request path asks anybody but a cell.
package router
