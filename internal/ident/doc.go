// Package ident makes and reads the identifiers that decide where a request goes.
//
// A customer id carries its ring, the region in which the customer's rows are homed:
//
//	c-use1-01jq8r3v0k5m7x9z2b4d6f8h1   a customer
//	g-use1-01jq8r3v0k5m7x9z2b4d6f8h1   a guest
//
// The slot of a customer is the top 12 bits of the xxHash64 of the whole id, so that
// any program finds it without asking anybody. Order ids are short enough to read out
// over the telephone, cannot be guessed, and carry the ring and a check character:
//
//	use1-7KQ2-M8XD-4TRW-C
//
// The random part has 12 characters of 32 (60 bits): with 10^10 orders the chance that
// one guess hits any is 10^-8. The check character is the sum of the values, each times
// its place, modulo 31, the largest prime below 32; it catches every single wrong
// character and almost every swap of two neighbours.
package ident
