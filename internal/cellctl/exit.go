package cellctl

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// How the program ends, beside 0 for well.
const (
	// ExitFailed: it did not work, or what was checked does not hold.
	ExitFailed = 1
	// ExitUsage: the command line is wrong; nothing has been asked of anybody.
	ExitUsage = 2
	// ExitRefused: a guard refuses it, for example because a cell would get more than it can carry, or because what was
	// looked at is another by now.
	ExitRefused = 3
	// ExitUnconfirmed: nobody has confirmed it; nothing has been changed.
	ExitUnconfirmed = 4
	// ExitTimedOut: what was waited for has not come in time; it goes on without being watched.
	ExitTimedOut = 5
)

// exitHelp is the end of the help of commands that use more than 0 and 1.
const exitHelp = `Ends with 0 when all is well, 1 when it failed or a check does not hold, 2 when the command line is wrong, 3 when a guard
refuses, 4 when it was not confirmed, 5 when what it waits for has not come in time; what was begun goes on then.`

// coded is an error with the status that the program ends with.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

func usagef(format string, args ...any) error {
	return coded{fmt.Errorf(format, args...), ExitUsage}
}

func refusedf(format string, args ...any) error {
	return coded{fmt.Errorf(format, args...), ExitRefused}
}

// Exit status of the program for what a command has returned.
func Exit(err error) int {
	if err == nil {
		return 0
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	if p := problem.As(err); p != nil {
		return exitOf(p.Kind)
	}
	return ExitFailed
}

// exitOf what a service has said.
func exitOf(kind problem.Kind) int {
	switch kind {
	case problem.Precondition, problem.Aborted, problem.AlreadyExists, problem.Exhausted:
		return ExitRefused
	case problem.Invalid:
		return ExitUsage
	case problem.Internal, problem.NotFound, problem.Unauthenticated, problem.Denied, problem.Unavailable:
		return ExitFailed
	}
	return ExitFailed
}

// said by a service: its reason and its words, and the status for that.
func said(err error) error {
	if p := problem.As(err); p != nil && p.Reason != "" {
		return coded{fmt.Errorf("%s: %s", p.Reason, p.Message), exitOf(p.Kind)}
	}
	return err
}

// tidy a command and those below it: what is wrong with a command line ends with ExitUsage, and a group of commands that is
// given no command of its own says which there are.
func tidy(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return coded{err, ExitUsage} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return coded{err, ExitUsage}
			}
			return nil
		}
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q for %q; `%s --help` lists them", args[0], cmd.CommandPath(), cmd.CommandPath())
			}
			return cmd.Help()
		}
	}
	for _, c := range cmd.Commands() {
		tidy(c)
	}
}
