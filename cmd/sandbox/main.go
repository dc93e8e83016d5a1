// Command sandbox runs the stand-ins for third parties: a card network and a parcel carrier, with books of their own. See internal/sandbox
// for what it can be told to do wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/secret"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1) //nolint:gocritic // exitAfterDefer: nothing but the signal handler is left to stop
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	config, err := sandbox.ParseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	ledger, err := config.Ledger()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	key := ""
	if config.WebhookKeyFile != "" {
		if key, err = secret.Read(config.WebhookKeyFile); err != nil {
			return err
		}
	}
	network, err := sandbox.NewCardNetwork(sandbox.Deps{
		Ledger: ledger, Clock: clock.System{}, Logger: log, SlowDelay: config.SlowDelay, WebhookURL: config.WebhookURL, WebhookKey: key,
	})
	if err != nil {
		return err
	}
	carrier, err := sandbox.NewCarrier(sandbox.CarrierDeps{
		DataDir: config.DataDir, Clock: clock.System{}, Logger: log, Day: config.CarrierDay, WebhookURL: config.CarrierWebhookURL, WebhookKey: key,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, carrier.Close()) }()
	post, err := config.Post(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, post.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("%w (another address: --listen or CELLAR_SANDBOX_LISTEN)", err)
	}
	return sandbox.Serve(ctx, listener, network, carrier, post, log)
}
