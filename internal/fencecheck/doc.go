// Package fencecheck reads the program's own code and tells where customers' rows are written without the fence.
//
// A statement of cellar_customer that writes may only be run in a transaction that the fence has made: by InSlotTx, Send
// or Join of package fence. Everything else that reaches a database directly is an entry:
//
//	DB.InTx(closure)            ── what the closure refers to, and what that refers to …
//	DB.Send(batch)              ── what the function around it refers to …
//	DB.Exec, Query, QueryRow    ── the statement itself, found through variables and parameters
//
// An entry from which a writing statement is reached is an offence, unless a short list says why it may. References are
// followed by name through all of services/, internal/ and cells/, types known; where a call cannot be followed because it
// goes through an interface or a variable, and a transaction or a batch goes with it, that is an offence too. So it errs on
// the side of finding too much. What it cannot see is whether the fence itself works, and whether it is asked for the
// customer whose rows are written: for that a cell is run against slots that have moved (package cells).
package fencecheck
