// Package quickwit writes documents into a Quickwit search engine, by its REST API; the only package that knows it.
//
// Quickwit's indexes are append-only and know no id of a document: what is written twice is there twice. Whoever writes gives each
// document an id of its own and counts by it. An answer of 200 says that the documents are in its write-ahead log; with a commit
// of Force that they are found, too.
//
// Package quickwittest is a fake with the documented limits. The tests of this package run against a real one just as well:
// CELLAR_QUICKWIT_URL=http://127.0.0.1:7280 go test ./internal/quickwit
package quickwit
