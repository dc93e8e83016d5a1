// Package topology is the map: which cell owns which customers, and where the cells are.
//
// The key space of the customers homed in a region is a ring of 4096 slots; a slot has one
// owner and an epoch, which grows by one at each change of owner. A Map is a snapshot of all
// rings, owners, epochs and cells with a version; it is never changed, only replaced by a newer
// one. Routers and cells hold it by an atomic pointer and read it without locks.
//
// The map is a hint that is nearly always right. What is true stands in the table slots of
// cellar_customer, where every write looks it up (package fence); who follows an old map is
// redirected and learns.
//
// On disk a map is JSON with runs of slots, and a checksum over its content: a file that is torn
// or edited by accident is refused, and the last good map stays.
package topology
