package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
)

// outlet is where the newest map is put besides the streams.
type outlet struct {
	name string
	put  func(ctx context.Context, snapshot []byte) error
}

// fileOutlet is this process's own file: operators read the map there when nothing else is left.
func fileOutlet(path string) outlet {
	return outlet{name: "file", put: func(_ context.Context, snapshot []byte) error { return topology.WriteFile(path, snapshot) }}
}

// consulOutlet is a key of Consul. That it has a newer map is no failure: another control plane put it there.
func consulOutlet(c *topology.Consul, keys topology.Keys) outlet {
	return outlet{name: "consul", put: func(ctx context.Context, snapshot []byte) error {
		if err := c.Put(ctx, snapshot, keys); err != nil && !errors.Is(err, topology.ErrNewer) {
			return err
		}
		return nil
	}}
}

// putAgain after a failure: what is away for long is not asked all the time.
const putAgain = time.Second

// run an outlet until ctx ends. Each has a turn of its own, so that one that hangs holds up no other, and no stream.
func (o outlet) run(ctx context.Context, f *feed, c clock.Clock, log *slog.Logger) {
	put, failing := uint64(0), false
	for {
		held, changed := f.look()
		if held == nil || held.m.Version == put {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := o.put(ctx, held.snapshot)
		if err == nil {
			put, failing = held.m.Version, false
			continue
		}
		if ctx.Err() == nil && !failing {
			log.ErrorContext(ctx, "the map cannot be put where it belongs; it is tried again", "outlet", o.name, "version", held.m.Version, "error", err)
		}
		failing = true
		if c.Sleep(ctx, putAgain) != nil {
			return
		}
	}
}
