// Package checkout turns a cart into an order.
//
// Quote prices the cart (promotions, voucher, delivery, tax), asks the planner what can come by
// when, and signs what it found, so that what is shown is what is charged, whatever happens to
// prices, taxes, promotions, cart or addresses in the meantime. A price that falls is passed on
// by the terms of the quote. PlaceOrder runs the placement saga on that snapshot:
//
//	create_order → plan → reserve → redeem_voucher → capture → commit ┊→ mark_paid → empty_cart → answer
//	      ▲           ▲______│ another FC                              ┊ no way back from here
//	      └──── any refusal undoes, in reverse: refund, voucher given back, release, order FAILED
//
// The idempotency key, the quote's use, the order and the saga are written in one transaction, before
// anything else happens: from then on the order ends, PAID or FAILED, whoever dies. The
// answer, also a refusal, is stored under the key and given again; a request that comes with
// the key before that attaches to the saga, whichever cell began it. When the customer's slot
// moves in the middle, the request is redirected and attaches at the new owner, which has
// taken the saga over. A quote is good for one order; after a failed one it may be used again.
//
// What comes after commit is written in one transaction with the saga's end; the steps are for when that is refused.
//
// Vouchers and promotions are defined here, read everywhere, and counted in a voucher's home.
//
// Holds begin at the reserve step, never in the cart. They last fifteen minutes, and are
// extended when payment starts if less than ten are left.
package checkout
