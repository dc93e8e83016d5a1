//go:build !linux

package platform

import "syscall"

// childAttributes: a group of its own, so that Ctrl-C in the terminal ends the supervisor and the supervisor ends its
// children in order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
