// Command shared runs a throw-away PostgreSQL for as long as another command runs, and names it to that command by
// CELLAR_TEST_DATABASE_URL: one server for all test programs of a `go test ./...`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "shared:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("usage: shared -- COMMAND [ARGUMENT ...]")
	}
	// An interrupt reaches the command too, being in the same group; here it must only not skip the clean-up.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, dir, err := sqldbtest.StartPrivate(ctx)
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), sqldbtest.EnvURL+"="+server.URL())
	err = cmd.Run()
	return errors.Join(err, server.Stop(), os.RemoveAll(dir))
}
