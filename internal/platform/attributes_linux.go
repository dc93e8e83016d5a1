package platform

import "syscall"

// childAttributes: a group of its own, so that Ctrl-C in the terminal ends the supervisor and the supervisor ends its
// children in order; and the end of the supervisor, however it comes, ends them too.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
