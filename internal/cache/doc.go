// Package cache keeps what was read for a while, in the memory of one process.
//
// It is bounded, asks once for what many want at the same time, and may show what it has while it reads it anew. A value whose
// reading began before it was forgotten is not kept. Nothing is decided by what is in it: prices of an order, stock and whatever
// else must be true are read from their rows.
package cache
