// Package payment takes money and gives it back, one payment an order, spread over gift cards, the wallet and one card.
//
//	(none) ─capture─▶ PENDING ──network took it──▶ CAPTURED ◀─last capture─ AUTHORIZED ◀─network holds it── PENDING
//	   │                 ├─────network said no───▶ DECLINED                 │ ▲                 (authorize)
//	   └─refund─▶ VOIDED ◀─refund, never charged──┘                         └─┘ capture of a part
//
//	CAPTURED, AUTHORIZED ─refund of everything─▶ REFUNDED, or VOIDED when nothing had been captured
//	CAPTURED ─refund of a part─▶ CAPTURED, until all of it went back ─▶ REFUNDED
//
// The row is written before the network is asked, and the order id (for parts "<order>/capture/<id>" and
// "<order>/refund/<id>") is the idempotency key there: whoever asks again, after a crash or from another cell, finds the
// row and asks with the same key, so that at most one charge exists. What became of a request whose answer was lost is
// asked for, never guessed; until the network tells, the payment stays PENDING and the caller hears PAYMENT_UNKNOWN. The
// network's events, its answers and what it says when asked go one way, learn and settleMove, and may come in any order.
//
// What gift cards and the wallet give moves in the transaction that writes the payment's row, and back in the one that
// ends it: there is no moment at which one is there without the other. Every movement is two entries of a ledger that sum
// to zero; a balance is guarded by the statement that takes from it and by a CHECK.
//
// VOIDED is a tombstone: it refuses a capture that comes late. Should a capture that was in flight still succeed, its own
// run, or its event, sees the tombstone and gives the money back. A payment that is closing takes no new parts, and those
// that have begun are ended first, so that what is given back is a fixed amount under a fixed key.
//
// The common case, one card at once, is two transactions of one statement each, and one row.
//
// Card numbers never come here: only the network's tokens. Codes of gift cards are money; they are neither stored nor
// logged.
package payment
