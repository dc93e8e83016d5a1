// Command cell runs one cell: the full service set for the customers whose slots it owns. See package cells.
package main

import (
	"context"
	"os"

	"github.com/cellar-commerce/cellar/cells"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/settings"
)

func main() { process.Main(run) }

// run the cell until ctx ends.
func run(ctx context.Context, args []string) error {
	var cfg cells.Config
	if err := settings.Load(&cfg, settings.Source{Prefix: "CELLAR_CELL", Environ: os.Environ(), Args: args, Out: os.Stdout}); err != nil {
		return err
	}
	cell, err := cells.New(ctx, cfg, os.Stderr)
	if err != nil {
		return err
	}
	return cell.Run(ctx)
}
