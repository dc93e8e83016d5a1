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
// Outside of a process a map is a snapshot: canonical bytes with a checksum and an ed25519
// signature (snapshot.go, sign.go). A Follower takes the newest that any Source has: the process's
// own file of the last good map, the control plane's stream, Consul. It refuses, logs and counts
// what is damaged, not signed by a known key, invalid, or another map of the version that is held;
// it never goes back; and it keeps what it has taken in the file, from which a cold start works
// though everything else is dead.
//
//	source ──bytes──► open: size, format, checksum, key, signature, body
//	                    │ newer than held        │ refused: alarm
//	                    ▼                        ▼
//	                 Holder ──► subscribers    the last good map stays
//	                    └─► file (flush, rename)
//
// Diff, Rebalance and Spread are pure functions of maps: what changed, and which slots should go
// where. Moving them is package evacuation's affair.
package topology
