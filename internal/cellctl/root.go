package cellctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
			if o.output != "table" && o.output != "json" {
				return fmt.Errorf("-o must be table or json, not %q", o.output)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVar(&o.dir, "dir", ".cellar", "directory of the platform")
	root.PersistentFlags().StringVarP(&o.output, "output", "o", "table", "table, or json for machines")
	root.AddCommand(o.up(), o.down(), o.status(), o.restart(), o.seed(), o.importFile(), o.shop(), o.audit(), o.stock(), o.voucher(), o.saga(), o.kill(), o.bench())
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

// print a value as JSON, or by its table.
func (o *options) print(out io.Writer, v any, table func(io.Writer) error) error {
	if o.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return table(out)
}

// binDir is where this program lies: its companions lie beside it.
func binDir() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where am I: %w", err)
	}
	return filepath.Dir(self), nil
}
