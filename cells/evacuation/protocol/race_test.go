//go:build race

package protocol

// raced: the tests run under the race detector, some ten times slower.
const raced = true
