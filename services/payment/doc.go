// Package payment takes money and gives it back, once an order.
//
//	(none) ─capture─▶ PENDING ──network took it──▶ CAPTURED ─refund─▶ REFUNDED
//	   │                 ├─────network said no───▶ DECLINED
//	   └─refund─▶ VOIDED ◀─refund, never charged──┘
//
// The row is written before the network is asked, and the order id is the idempotency key
// there: whoever asks again, after a crash or from another cell, finds the row and asks with
// the same key, so that at most one charge exists. What became of a request whose answer was
// lost is asked for, never guessed; until the network tells, the payment stays PENDING and
// the caller hears PAYMENT_UNKNOWN.
//
// VOIDED is a tombstone: it refuses a capture that comes late. Should a capture that was in
// flight still succeed, its own run sees the tombstone and gives the money back.
//
// Card numbers never come here: only the network's tokens.
package payment
