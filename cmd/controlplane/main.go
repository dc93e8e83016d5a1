// Command controlplane owns the map: which cell owns which customers. Shoppers do not need it. See package controlplane.
package main

import (
	"context"
	"os"

	"github.com/cellar-commerce/cellar/cells/controlplane"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/settings"
)

func main() { process.Main(run) }

// run the control plane until ctx ends.
func run(ctx context.Context, args []string) error {
	var cfg controlplane.Config
	if err := settings.Load(&cfg, settings.Source{Prefix: "CELLAR_CONTROLPLANE", Environ: os.Environ(), Args: args, Out: os.Stdout}); err != nil {
		return err
	}
	p, err := controlplane.NewProcess(ctx, cfg, os.Stderr)
	if err != nil {
		return err
	}
	return p.Run(ctx)
}
