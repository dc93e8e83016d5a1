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
// The ledger, inventory_events, has every change of what is on hand (restock, ship, adjust), so
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
// Lock order, everywhere: reservations by line, then inventory by SKU.
package inventory
