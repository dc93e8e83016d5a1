package cellctl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// ErrFound: a check was done and does not hold; the report has said so already.
var ErrFound = errors.New("the check does not hold")

// options that every command has.
type options struct {
	dir    string
	output string
}

// New command line.
func New() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use: "cellctl", Short: "Run, fill, exercise and audit a Cellar platform", Version: telemetry.Version,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains([]string{"table", "json", "yaml"}, o.output) {
				return usagef("-o must be table, json or yaml, not %q", o.output)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVar(&o.dir, "dir", ".cellar", "directory of the platform")
	root.PersistentFlags().StringVarP(&o.output, "output", "o", "table", "table, or json or yaml for machines")
	root.AddCommand(o.up(), o.down(), o.status(), o.restart(), o.seed(), o.importFile(), o.shop(), o.audit(), o.stock(), o.voucher(), o.catalog(), o.order(), o.saga(), o.review(), o.recs(), o.search(), o.pages(), o.kill(), o.bench())
	root.AddCommand(o.maps(), o.cell(), o.customer(), o.evacuate(), o.undo(), o.watch(), o.automation(), o.outbox(), o.feed(), o.dlq(), o.drill())
	tidy(root)
	return root
}

// running platform of the directory.
func (o *options) running(ctx context.Context) (platform.Info, error) {
	remote, err := platform.Connect(o.dir)
	if err != nil {
		return platform.Info{}, err
	}
	return remote.Info(ctx)
}

// binDir is where this program lies: its companions lie beside it.
func binDir() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where am I: %w", err)
	}
	return filepath.Dir(self), nil
}
