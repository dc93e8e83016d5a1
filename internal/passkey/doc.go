// Package passkey is the shop's side of WebAuthn: the options that browsers make and use passkeys with, and what their answers prove.
//
//	ToMake ──▶ browser, authenticator ──▶ Made      a Key to keep
//	ToUse  ──▶ browser, authenticator ──▶ Used      the Key with its new count
//
// A challenge is kept nowhere: it is signed, and says itself when it was asked and what for. It is good for five minutes. So any cell may
// ask and any other may look at the answer. That it is good once is the caller's to see to, by the time it was asked at: whoever
// remembers the last one that was answered, and takes only later ones, takes none twice.
//
// A passkey stands for a password and a second factor, so the authenticator has to know who is there (user verification). What it says of
// its make is not asked for: nothing here depends on it.
package passkey
