// Package fence is the one way to write a customer's rows.
//
// A cell that lost a slot must not write for its customers any more, however late it
// wakes up. So each write's transaction first reads the slot's row and locks it: on
// PostgreSQL with a shared row lock at READ COMMITTED, on CockroachDB by the plain read
// itself, since at SERIALIZABLE a change of the row by anybody else aborts one of the two.
// Moving a slot updates that row; it therefore waits for the writes in flight, and whoever
// comes later finds another owner and is refused with WRONG_CELL before any effect.
//
//	write:  BEGIN → read slot row (shared) → owner is me? → effect → COMMIT
//	move:   BEGIN → update slot row (exclusive: waits) → COMMIT
//
// InSlotTx gives a closure the whole of such a transaction. Send writes a batch of statements in one round trip, with a
// guard in front that ends the transaction where the slot is somebody else's. Join does the same for parts of ops, and
// lets callers who come at the same time share the transaction: one guard for all slots, one execution of each statement
// for all rows, one commit. Should that fail, each is tried by itself, so nobody is refused for another's fault.
//
// The map in memory answers Check without I/O; it may be old, and is only there to refuse
// early. The row decides.
package fence
