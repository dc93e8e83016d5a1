// Package e2e proves the platform as its users meet it: real processes, a real database and
// brokers, requests through the routers, and faults that are kill -9.
//
// The tests are built with the tag e2e and run by `make e2e`, which builds the programs first.
// One platform is started for all of them, on ports of its own, with a small catalogue; every
// test leaves it whole, and the last thing that is done is an audit of all promises.
package e2e
