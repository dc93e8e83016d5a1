//go:build !linux

package pgserver

import "syscall"

// childAttributes: another user where needed, and a group of its own so that the terminal's Ctrl-C does not reach the
// server before those who use it.
func childAttributes(owner *account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: credential(owner), Setpgid: true}
}
