// Package problem is how Cellar says no.
//
// A Problem has a kind (about what to do next), a reason (UPPER_SNAKE, stable, for
// machines) and a sentence for people; it may carry protobuf details. Kinds map to
// Connect codes by one table. Whatever is no Problem reaches a client as "internal"
// without any text of ours or of a driver.
//
// A kind exists only because somebody handles it differently:
//
//	Invalid          the request is wrong in itself; never try it again
//	NotFound         what it names is not there
//	AlreadyExists    what it creates is there
//	Precondition     the state of things forbids it; change that first
//	Aborted          lost a race; read again and retry
//	Unauthenticated  no valid session
//	Denied           a valid session, but not for this
//	Exhausted        over a limit; wait
//	Unavailable      a part is down; the same request may work later
//	Internal         a bug
package problem
