// Package audit proves the platform's promises from what the databases and the card network's
// own ledger say, not from what any program believes.
//
// It reads while the platform runs. What is being changed at that moment may look broken: an
// order between two of its saga's steps, an event on its way. So whatever looks like a
// violation is looked at again after a pause, and only what is still wrong then counts.
//
// The numbers are those of the promises in docs/promises.md. Promise 6, that a cell which lost
// a slot commits nothing, leaves no trace to audit; property tests and drills prove it.
package audit
