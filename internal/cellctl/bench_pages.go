package cellctl

import (
	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
)

func (o *options) benchPages() *cobra.Command {
	var cfg bench.PagesConfig
	cmd := &cobra.Command{
		Use: "pages", Short: "The shop's pages from the router, while shoppers buy", Args: cobra.NoArgs,
		Long: "The shop's pages from the router, while shoppers buy: how long products' pages, the front page and searches take to their\n" +
			"last byte, and how large the largest is. Starts a platform of its own.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 1 || cfg.Seconds > 120 || cfg.Readers < 1 || cfg.Readers > 1000 || cfg.Shoppers < 1 || cfg.Shoppers > 1000 {
				return usagef("--seconds must be 1 to 120, --readers and --shoppers 1 to 1000")
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Pages(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 60, "that pages are looked at")
	cmd.Flags().IntVar(&cfg.Readers, "readers", 4, "at once")
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 2, "at once")
	cmd.Flags().IntVar(&cfg.PortOffset, "port-offset", 10_000, "of the private platform's ports")
	return cmd
}
