// Package process is the life of a program: one shape for every main.
//
//	start listeners and workers → ready → SIGTERM or SIGINT → not ready
//	→ wait the drain interval, so that routers have seen it → finish requests
//	→ stop workers → end
//
// A listener or worker that fails by itself ends the whole program with its error: a half
// dead process is worse than a dead one.
package process
