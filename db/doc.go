// Package db holds the schema of the three logical databases, and brings a server to it.
//
// The files in schema/<database>/ are the steps: numbered, one idempotent statement each,
// forward only. schema/<database>.sql is where they lead, to be read by people; a test
// applies both and compares the catalogues. Migrate may be run by several programs at
// once: a lease row lets one work while the others wait for the version they need.
//
// On CockroachDB it also sets the regions and the survival goal, which is per database:
// REGION for global and customer rows, ZONE for stock, whose writes must stay local.
package db
