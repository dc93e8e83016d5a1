// Package pgserver runs a private PostgreSQL on this machine: for the local platform and for tests.
//
// It finds the server's programs, makes a data directory, and runs the server as a child
// process that listens on loopback (or on a Unix socket). PostgreSQL refuses to run as root,
// so a root caller's server runs as the user "postgres", or "nobody" where there is none.
// The server stops when Stop is called; on Linux also when the calling program dies.
package pgserver
