// Package recovery is what operators have for work that does not end by itself: it shows the sagas of all services, puts
// parked ones back, and turns back those that may still turn.
//
// It knows no saga's business. Each service hands its engine in; what changes a saga goes through that engine, fenced, with
// the operator's reason kept in the saga's row. Any cell may be asked; one that does not own the saga's customer takes the
// command to the cell that does, once.
//
// What is shown of a saga's state leaves out every field that the proto files mark with debug_redact: addresses, card
// tokens, keys.
//
// It has one saga of its own, the demo, which does nothing but wait to be released, so that recovery can be practised:
//
//	prepare → wait ┊→ finish
//	            ┊ no way back from here
//
// A release is a saga too, named after the demo and done at once: it is there, or not yet. A poisoned demo does not wait,
// but fails at finish until it is released; after a few tries it is parked.
package recovery
