// Package saga ends what was begun: work in several steps over several databases and
// third parties, each with a do and an undo, that survives the death of whoever runs it.
//
//	RUNNING ── last step done ──▶ DONE
//	   │
//	   └─ a step refuses ──▶ UNDOING ── first step undone ──▶ UNDONE
//	                            │
//	          too many tries ───┴──▶ PARKED (an operator decides: Retry puts it back)
//
// Laws every definition keeps, so that a crash between any two instructions is harmless:
// a step done twice is as done once; a step undone twice is as undone once; undo works on a
// step that was half done, or not done at all.
//
// The state is written after each step that is not quiet, in a transaction of the customer's slot, together with what goes
// with the step; many sagas share such a transaction. A quiet step gives the same when it is done again, so a run that
// takes over begins at the last step that was stored, and undoes from the last that may have begun. One run
// holds a saga at a time: it is the row's holder until due_at, and pushes due_at on with
// every step. A run that died is found by the sweep of the cell that owns the slot then,
// the same cell or another. A run that merely slept too long finds another holder's name in
// the row and stops. No transaction is ever open while a step calls somebody.
//
// A step may have an ending: all that is left to do, as one transaction with the saga's end. Where that is refused, the steps
// after it are done one by one.
//
// Which sagas are a cell's is for the slots' rows to say, overrides of single customers included, as it is for the fence. Under
// a slot's next epoch the runs of the owner before are not waited for: the fence lets them write nothing any more. They are
// looked for when the map is new, at once if the engine is nudged; what this engine runs itself goes on. The
// end of a quiet step is not stored by itself, so a run that takes over does its group again. Operators see sagas by List and
// Look, and change them by Retry and Undo, never in the middle of somebody's step.
//
// Errors decide: a problem that asks the caller to change something (Precondition, Invalid,
// NotFound, Denied, AlreadyExists, Exhausted) is a refusal and undoes the saga; anything
// else is tried again with back-off.
package saga
