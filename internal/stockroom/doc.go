// Package stockroom is what operators do with stock by hand: they receive suppliers' deliveries, list and put right
// counts that have drifted from the ledger, and check the summaries.
//
// It works on the databases through the inventory service's own code, so a cell that runs sees
// the same locks and the same events as if it had been asked.
package stockroom
