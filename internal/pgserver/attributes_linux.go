package pgserver

import "syscall"

// childAttributes: another user where needed, a group of its own so that the terminal's Ctrl-C does not reach the server
// before those who use it, and SIGINT (fast shutdown) when its parent dies.
func childAttributes(owner *account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: credential(owner), Setpgid: true, Pdeathsig: syscall.SIGINT}
}
