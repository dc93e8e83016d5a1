// Package consultest runs a real Consul agent for tests: a server of its own on loopback, built from tools/consul.
//
// An agent can be killed as a crash would, started again with all it had or with nothing, and given any value for a key.
//
// The first build takes minutes; what it made stays in bin/tools, and in the compiler's cache. `make test` builds it before
// the tests, so that none of them runs out of time for it.
package consultest
