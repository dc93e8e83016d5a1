// Package stripe takes money with Stripe; the only importer of stripe-go. It speaks the words of internal/cardnetwork, so
// that a payment does not know who takes its money: charges, keys, declines, and the three things that can become of a
// call.
//
// Stripe has no way to ask what became of an idempotency key. It stores the answer to the first request with a key for a
// day at least, and gives it again. So a charge is two requests:
//
//	create the PaymentIntent, with the key         no money moves, however often it is repeated
//	confirm it, with the key + "/confirm"          the card is asked, once
//
// To find a charge by its key the first request is repeated, which names the intent, and the intent is read as it is now.
// A key that Stripe does not remember may be older than a day: then intents are searched by the key in their metadata,
// which Stripe finds about a minute after they are made. To abandon a charge its intent is cancelled, after which nothing
// can confirm it any more.
//
// Captures and refunds are repeated with their key. A refund first looks among the intent's refunds for its key, which
// Stripe never forgets; a capture relies on the key alone, and on Stripe not capturing more than is held. Several captures
// of one intent need Stripe's multicapture, which it must have enabled for the account.
//
// Cards are ids of payment methods (pm_…) or confirmation tokens (ctoken_…), as Stripe's own script in the shopper's browser
// makes them. A card that wants its holder to do something first is declined,
// since nobody is there: code authentication_required.
package stripe
