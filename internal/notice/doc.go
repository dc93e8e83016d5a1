// Package notice tells customers what has happened, each thing once by each channel.
//
// A notice is written in the transaction of what it is about (Queue), under a cause that makes it one: the same cause
// again changes nothing. A Sender in the cell that owns the customer finds it and has a Courier take it along each channel:
//
//	claim: which channels are tried now, stored ──▶ courier ──▶ what became of them, stored
//
// Both transactions are the fence's, and a process may die between any two steps. What was claimed is then found again:
//
//   - by a channel whose receiver drops what has the same key, it is sent once more, and counts once;
//   - by one that does not, such as SMTP, a try whose end nobody knows is repeated once, under the same Message-ID, and
//     never again. So nobody is told the same more than twice, and that only after a crash in those milliseconds.
//
// A try that is known to have failed is repeated with pauses that double, and parked after maxAttempts. What has ended is
// emptied at once, and forgotten after a while.
//
//	WAITING ──told, or not wanted──▶ DONE ──▶ forgotten
//	   └────── too many failures ──▶ PARKED ─▶ forgotten
package notice
