// Package search finds products by words.
//
// Every cell keeps an index of its own, built when it starts from the catalogue and kept up by
// the events of changes: searching needs no owner, no network and no database. An Engine holds
// the index; the suite in enginetest says what any engine must do, and the service does what
// is the same for all: limits, pages, and the blend of text and popularity.
//
//	catalogue ──pages──▶ Build ─┐
//	                            ├──▶ Engine (highest version of each product wins)
//	catalog.product.changed ────┘
//
// What was searched for is logged, without who searched: published to the region's broker in batches, and lost rather than waited
// for.
//
// What is withdrawn is taken out; of it the index keeps the version, so that what comes late does not
// put it back.
//
// A query is tried strictly first: every word in some field. Only when that finds nothing are
// words forgiven a typo, and then some of them left out.
package search
