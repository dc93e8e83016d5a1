// Command router takes shoppers' requests of one region to the cells that own them. See package router.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/settings"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"github.com/cellar-commerce/cellar/router"
)

func main() {
	process.Main(func(ctx context.Context, args []string) error {
		return run(ctx, settings.Source{Prefix: "CELLAR_ROUTER", Environ: os.Environ(), Args: args, Out: os.Stdout}, os.Stderr)
	})
}

// run the router until ctx ends.
func run(ctx context.Context, from settings.Source, logs io.Writer) error {
	var cfg config
	if err := settings.Load(&cfg, from); err != nil {
		return err
	}
	if err := cfg.validate(); err != nil {
		return err
	}
	log := telemetry.NewLogger(logs, slog.LevelInfo, "router", cfg.Region)
	metrics := telemetry.NewMetrics(map[string]string{"region": cfg.Region})
	maps, ready := &topology.Holder{}, &telemetry.Readiness{}
	follower, err := cfg.follow(ctx, maps, log, telemetry.NewMapMetrics(metrics))
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	r := router.New(router.Deps{
		Region: ident.Region(cfg.Region), Maps: maps, Clock: clock.System{}, Log: log, Observe: telemetry.NewRouterMetrics(metrics), Methods: repeats(),
	})
	maps.Subscribe(func(*topology.Map) { r.MapChanged() })
	reporter, err := cfg.reporter(maps, r, log)
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return process.Group{
		Log:       log,
		Listeners: []process.Listener{{Name: "public", Address: cfg.Listen, Server: router.NewServer(r)}, {Name: "admin", Address: cfg.Admin, Handler: telemetry.Admin(metrics, ready)}},
		Workers: []process.Worker{
			{Name: "map", Run: func(ctx context.Context) error { follower.Run(ctx); return nil }},
			{Name: "health", Run: func(ctx context.Context) error { r.Run(ctx); return nil }},
			{Name: "reports", Run: func(ctx context.Context) error { reporter.Run(ctx); return nil }},
		},
		SetReady: func(up bool) { ready.Set(up); r.SetDraining(!up) },
		Drain:    cfg.Drain,
	}.Run(ctx)
}
