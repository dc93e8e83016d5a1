// Command router takes shoppers' requests of one region to the cells that own them. See package router.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/settings"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"github.com/cellar-commerce/cellar/router"
)

// config: the environment first (CELLAR_ROUTER_…), flags override it.
type config struct {
	Region string        `name:"region" usage:"region of this router"`
	Listen string        `name:"listen" default:"127.0.0.1:8080" usage:"address for shoppers"`
	Admin  string        `name:"admin" default:"127.0.0.1:8160" usage:"address of /livez, /readyz and /metrics"`
	Map    string        `name:"map" usage:"file of the map, watched for changes"`
	Drain  time.Duration `name:"drain" default:"1s" usage:"how long requests are still taken after /readyz has said that this router stops"`
}

func (c config) validate() error {
	if _, known := ident.Region(c.Region).Code(); !known {
		return fmt.Errorf("router: --region must be one of %v", ident.Regions())
	}
	if c.Map == "" {
		return errors.New("router: --map must name the file of the map")
	}
	return nil
}

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
	m, err := topology.ReadFile(cfg.Map)
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	log := telemetry.NewLogger(logs, slog.LevelInfo, "router", cfg.Region)
	metrics := telemetry.NewMetrics(map[string]string{"region": cfg.Region})
	maps, ready := &topology.Holder{}, &telemetry.Readiness{}
	maps.Offer(m)
	r := router.New(router.Deps{
		Region: ident.Region(cfg.Region), Maps: maps, Clock: clock.System{}, Log: log, Observe: telemetry.NewRouterMetrics(metrics), NoSideEffects: rpc.NoSideEffects(),
	})
	source := topology.FileSource{Path: cfg.Map, Clock: clock.System{}, Log: log, Changed: r.MapChanged}
	return process.Group{
		Log:       log,
		Listeners: []process.Listener{{Name: "public", Address: cfg.Listen, Server: router.NewServer(r)}, {Name: "admin", Address: cfg.Admin, Handler: telemetry.Admin(metrics, ready)}},
		Workers: []process.Worker{
			{Name: "map", Run: func(ctx context.Context) error { source.Watch(ctx, maps); return nil }},
			{Name: "health", Run: func(ctx context.Context) error { r.Run(ctx); return nil }},
		},
		SetReady: func(up bool) { ready.Set(up); r.SetDraining(!up) },
		Drain:    cfg.Drain,
	}.Run(ctx)
}
