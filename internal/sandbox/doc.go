// Package sandbox stands in for the third parties a store depends on, so that the whole platform can be run, broken
// and audited on one machine: a card network, and a parcel carrier beside it, below /carrier/.
//
// The network owns the money truth. It keeps its own append-only ledger, which an audit compares with what the store
// believes, so nothing here may be computed from, or shared with, the store's code: the client in internal/cardnetwork
// declares its own wire types on purpose.
//
// It promises:
//
//   - An effect is on disk before it is answered, or shown to any reader. Requests that wait together share one fsync.
//   - One idempotency key has at most one effect, over restarts too; asked again it gives the first answer.
//   - A key whose request is still being worked on is never reported as unseen: it is a 409.
//   - A refusal (4xx other than a decline) has no effect and leaves its key unused.
//   - Card numbers are neither stored nor logged.
//
// A charge moves like this; a sale (capture: true) enters at captured with one ledger entry of kind capture:
//
//	authorize ──▶ authorized ──capture──▶ captured ──refund──▶ captured … until all is refunded ──▶ refunded
//	                  └──void──▶ voided        ▲
//	sale ──────────────────────────────────────┘           decline ──▶ declined
//
// A capture with "final": false leaves what is left held, and the charge authorized, for further captures; they sum to
// what was authorized at most. A final capture, or a void, lets go of the rest. What was captured can be refunded
// meanwhile.
//
// Tokens and test numbers choose what becomes of a charge. Any other number with a right check digit is approved.
//
//	tok_visa                   4242424242424242  approved
//	tok_mastercard             5555555555554444  approved
//	tok_declined               4000000000000002  declined: card_declined
//	tok_insufficient_funds     4000000000009995  declined: insufficient_funds
//	tok_expired_card           4000000000000069  declined: expired_card
//	tok_slow                   4000000000001000  approved after a delay; its key is busy (409) meanwhile
//	tok_timeout_after_success  4000000000002008  approved, never answered; the second ask is answered
//	tok_unavailable_once       4000000000003006  503 without effect at the first attempt of a key, then approved
//	tok_unavailable            4000000000004004  503 without effect, always
//	tok_error_after_success    4000000000005001  approved, answered 500; the second ask is answered
//
// Whoever is named with POST /v1/webhook (or --webhook-url) is told of every effect once it is on disk, by a POST that is
// signed with the key the network was started with, tried again for some seconds. Events are not kept over a restart, and
// faults make them come late, twice and in any order: asking by key is what can be relied on.
//
// The [Carrier] books parcels, draws their labels, and moves them once they are handed over: its scans can be polled, and
// are told to a webhook, twice, late, never or in any order if the faults say so. All of a parcel's way follows from its
// number and its handover, which are on disk; with a short --carrier-day a week takes a minute.
//
// A minted token carries brand, last four digits and behaviour inside itself: it survives a restart without being
// kept anywhere. A real network's would be opaque; callers must treat these so too.
package sandbox
