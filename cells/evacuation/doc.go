// Package evacuation moves slots from cell to cell: all of a cell or region (an evacuation), few of a ring (a rebalance),
// back to where a map had them (a revert), or back to where another move took them from (an undo).
//
//	PLANNED → FLIPPING → PUBLISHING → CONVERGING → VERIFYING → DONE → UNDONE (by another move)
//	    └─────────┴───── abort ─┴──────────┴────────────┴──▶ ABORTING → ABORTED
//
// No data moves: cells share a database. A move changes the owner in the rows of slots, each under its next epoch; from the
// commit on the fence refuses the old owner, be it healthy, hung or dead. Maps follow, for speed only.
//
// A plan says beforehand what a move would do, and its hash covers all of it: a move starts from the plan that was looked at,
// or not at all. One row of evacuations holds a move, and each change of it names the revision that was read. Whoever leads
// drives what that table has open. How far a move has come is what the rows of slots say, so a driver may die anywhere and
// the next one goes on; and a driver that sleeps too long does no harm: it reads slots first, then whether the move is still
// wanted, and flips only rows that have the epoch it has read. Going back gives slots that had not moved yet a new epoch as
// well, so that a flip which was decided before comes too late.
//
// A flip passes over slots that are being written just now, and comes back to them. Sessions of the old owner that hold a
// slot for longer than a write takes are ended: what they wrote is rolled back. So a hung cell holds up nothing.
package evacuation
