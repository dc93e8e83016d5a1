// Package controlplane owns the map: it is the process that routers, cells and operators ask which cell owns which customers,
// and the only one that changes that. Nothing on the way of a shopper's request calls it, and the data path goes on for days
// without it.
//
// What is true of slots stands in the table slots of cellar_customer, where every write looks it up; this package only
// publishes it. The next map is made from the fleet's table and the slots' rows, read after the map before, signed, and
// inserted under the next version: the table's key decides between two who publish at once. Streams, a file and Consul carry
// it from there.
//
//	cells (fleet) ┐
//	slots (rows)  ├─▶ draft ─▶ sign ─▶ maps, version+1 ─▶ feed ─┬─▶ WatchMap streams
//	overrides     ┘             (compare-and-set)               ├─▶ file
//	                                                            └─▶ Consul
//
// One process leads, by a lease; standbys answer questions, follow the map and hear reports, so that one that takes over is
// not blind. A leader that was frozen and believes to lead still does no harm: maps, moves and automatic claims are each
// decided by a row.
//
// Moves of slots are package evacuation's; this package gives it fleet, maps and health, commands it, and evacuates cells
// that are dead by itself, behind the guard rails of automation.go. Every change, and every refusal to make one, is in the
// audit trail with who and why.
package controlplane
