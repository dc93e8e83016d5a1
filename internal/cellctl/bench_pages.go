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
			"last byte, and how large the largest is. First with orders at a rate, at drawn times, whether or not those before them are\n" +
			"done; then with --shoppers who buy as fast as they are answered, so that no core has a rest. Starts a platform of its own.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 1 || cfg.Seconds > 60 || cfg.Readers < 1 || cfg.Readers > 1000 || cfg.Shoppers < 1 || cfg.Shoppers > 1000 {
				return usagef("--seconds must be 1 to 60, --readers and --shoppers 1 to 1000")
			}
			if !(cfg.OrdersPerSecond > 0 && cfg.OrdersPerSecond <= maxRate) {
				return usagef("--orders-per-second must be above 0, and at most %d", maxRate)
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Pages(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 50, "that pages are looked at, in each of two parts")
	cmd.Flags().IntVar(&cfg.Readers, "readers", 4, "at once")
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 2, "at once, in the second part")
	cmd.Flags().Float64Var(&cfg.OrdersPerSecond, "orders-per-second", 18.5, "in the first part; 18.5 is 1.6 million a day")
	cmd.Flags().IntVar(&cfg.PortOffset, "port-offset", 10_000, "of the private platform's ports")
	return cmd
}
