// Command cellctl is the operator's tool. See package cellctl, or `cellctl help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cellar-commerce/cellar/internal/cellctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := cellctl.New().ExecuteContext(ctx); err != nil {
		if !errors.Is(err, cellctl.ErrFound) { // the report has said it
			fmt.Fprintln(os.Stderr, "cellctl:", err)
		}
		os.Exit(cellctl.Exit(err)) //nolint:gocritic // exitAfterDefer: nothing but the signal handler is left to stop
	}
}
