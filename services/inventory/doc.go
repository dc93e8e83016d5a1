// Package inventory keeps the stock of one region's fulfilment centres, and what is held of it.
//
// For each product at an FC a row says how many units are available and how many are
// reserved; together they are on hand. A reservation moves units between the two:
//
//	         reserve            commit              ship
//	available ──────▶ HELD ───────────▶ COMMITTED ───────▶ SHIPPED (off the books)
//	    ▲               │ release, or expiry │ release
//	    └───────────────┴────────────────────┘
//
// What an order has bought and nobody finds on the shelf is written off (writeoff.go): its reservation falls by it, and so does
// what is on hand.
//
// The ledger, inventory_events, has every change of what is on hand (restock, ship, adjust, return), so
// that for each row: available + reserved = sum of the ledger, and reserved = sum of what is HELD
// or COMMITTED.
//
// A hold that has run out counts as available at once, whether or not anybody has swept it:
// reads add it, and a reservation that finds too little takes it back itself.
//
// Every command can be repeated: reservations are keyed by order and line, ledger entries by
// their source. Release leaves a tombstone, so that a reserve that arrives late, after its
// order was undone, holds nothing.
//
// # Combining
//
// Each FC belongs to one of a few lanes. Commands that come while a transaction of their lane is
// under way wait for its end, and then share the next one: their rows are read under lock at
// once, the commands are applied in memory in the order in which they came (book.go), and what
// has changed is written at once. Nobody waits for company, so an idle lane answers as fast as
// ever; under load one commit carries hundreds of commands. Several cells may do this for one
// FC at the same time: the rows' locks put their batches in order, and what a batch read is
// what it changes.
//
// A batch that only takes what should lie there, for orders that are new here, or that sells
// what this process has just held, is written without reading anything first (quick.go), behind
// guards that end the transaction wherever any of it is not so.
//
// Lock order, everywhere: inventory by FC and SKU, then reservations by FC, order and line, then
// summaries by SKU.
//
// # Summaries
//
// Each region knows, as a hint, which FCs of every region have some of a product (summary.go).
// A change that matters leaves an event; looking again and telling the others follow it.
package inventory
