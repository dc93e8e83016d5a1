// Package notification tells customers what has happened, by e-mail, SMS and a webhook of the shop's own.
//
// What there is to tell is written by whoever causes it, in the same transaction (package notice); that package also sees to
// it that each thing is told once. This one knows what customers want to be told (settings), what it reads like (a plain
// text, and a small HTML page whose every value is escaped), and how each channel takes it:
//
//   - e-mail over SMTP, with a Message-ID made of the cause: twins look alike, but are not dropped;
//   - SMS over HTTP, with an Idempotency-Key: the provider drops twins;
//   - a webhook: a signed POST with an id, by which the receiver is to drop twins.
//
// What is about the account, and that an order was placed, is told by e-mail whatever the settings are.
package notification
