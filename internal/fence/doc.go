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
// One customer may be served by another cell than the rest of the slot: an override, in the slot's row. Every guard decides
// by the effective owner, so a change of overrides is fenced exactly as a change of owner is, and is an epoch of its own.
//
// A process that hangs in the middle of a write keeps its slot's row locked. Whoever moves the slot ends its sessions
// (EndBlockers, by the name that all sessions of a cell have); nothing of them commits. Should nobody do so, the server ends
// a session that sits idle in a transaction (IdleInTransaction).
//
// That nothing goes past the fence is checked twice: package fencecheck reads the code, and a test of package cells runs a
// cell whose slots have moved through everything that it does for a customer.
//
// The map in memory answers Check without I/O; it may be old, and is only there to refuse
// early. The row decides.
package fence
