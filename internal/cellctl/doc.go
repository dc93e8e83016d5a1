// Package cellctl is the operator's tool: it runs the whole platform on one machine, fills it,
// plays shoppers and proves the promises.
//
// Every command that talks to a platform finds it by its directory (--dir), where `up` leaves
// a control socket. Tables are for people; -o json gives every answer to machines. A command
// exits with 1 when it failed, and when what it was asked to check does not hold.
package cellctl
