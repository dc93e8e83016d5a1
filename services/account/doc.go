// Package account keeps who a shopper is: sign-up and sign-in, addresses, saved payment methods.
//
// An e-mail address belongs to one customer everywhere, so it is claimed first, in the global
// directory; the account's row follows in the customer's own ring. A crash in between leaves a
// claim without an account: the next sign-up with that address adopts the claimed id, so that
// nobody is locked out of their own address.
//
//	SignUp: claim e-mail ──▶ account row        claim without row ──next SignUp──▶ adopted
//
// Passwords are hashed with argon2id. Hashing is slow on purpose, so few run at once and few
// wait; an address that fails too often has to pause. Whether an address is known shows neither
// in the answer nor in its time.
//
// A passkey proves a customer too. Its answer names whom it is for, and comes to their owner; its challenge is good once, because the
// account keeps when the last one was asked, and takes only later ones.
//
// Card numbers are refused wherever somebody might type one. Nothing of what this package
// keeps is ever logged.
package account
