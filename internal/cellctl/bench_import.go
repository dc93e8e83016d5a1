package cellctl

import (
	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
)

func (o *options) benchImport() *cobra.Command {
	var cfg bench.ImportConfig
	cmd := &cobra.Command{
		Use: "import", Short: "A file of products, imported with stock and events into an empty database, and once more", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Products < 1 || cfg.Products > 1_000_000 {
				return usagef("--products must be 1 to 1000000")
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Import(cmd.Context(), cfg))
		},
	}
	cmd.Flags().IntVar(&cfg.Products, "products", 50_000, "in the file")
	return cmd
}
