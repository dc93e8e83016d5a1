// Package cardnetwork is the client of a card network over HTTP/JSON.
//
// Three things can become of a call that moves money, and callers must tell them apart:
//
//   - A [Charge] without an error: the network did it. A Charge with [Declined] was refused by the issuer and has moved
//     nothing; it is final for its key.
//   - [*RequestError]: the network refused the request itself. Nothing was done, and the same request never will be.
//   - [ErrUnknownOutcome]: time ran out, the connection broke, or the network answered 5xx. The money may have moved.
//     Ask with [Client.FindByKey], or send the same request with the same key again: it has one effect at most.
//     Never send it with another key.
//
// A key that FindByKey does not find may still be on its way there; only the answer to a repeat with the same key is
// final. The client itself neither retries nor breaks circuits: that is the caller's policy.
//
// Tokens are secrets of a kind: no error of this package quotes one.
package cardnetwork
