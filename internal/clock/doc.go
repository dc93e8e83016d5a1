// Package clock is the only source of time in Cellar's own code.
//
// Everything that asks what time it is, or waits, gets a Clock when it is built,
// so that a test moves time itself instead of sleeping: holds run out, leases
// lapse and quotes expire when the test says so.
package clock
