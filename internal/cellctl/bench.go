package cellctl

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
)

func (o *options) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure, as ratios against a named peer in the same run",
		Long: "Measure, as ratios against a named peer in the same run. Each bench makes what it needs, and ends by itself\n" +
			"within three minutes.",
	}
	cmd.AddCommand(o.benchStock(), o.benchCheckout(), o.benchPlan(), o.benchRouter(), o.benchEvacuate(), o.benchEvents(), o.benchPages(), o.benchImport(), o.benchPeer())
	return cmd
}

// benchProgress tells a person what is measured now.
func benchProgress(cmd *cobra.Command) func(string) {
	return func(s string) { cmd.PrintErrln("bench: " + s) }
}

// measured prints what a bench answers.
func (o *options) measured(cmd *cobra.Command) func(bench.Report, error) error {
	return func(report bench.Report, err error) error {
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), report, report.Table)
	}
}

func (o *options) benchCheckout() *cobra.Command {
	var cfg bench.CheckoutConfig
	cmd := &cobra.Command{
		Use: "checkout", Short: "Whole placements, from quote to PAID, through the router of a private platform", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 1 || cfg.Seconds > 60 || cfg.Shoppers < 1 || cfg.Shoppers > 1000 {
				return usagef("--seconds must be 1 to 60, --shoppers 1 to 1000")
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Checkout(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 20, "that orders are placed for")
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 96, "at once: with fewer an answer is faster, and fewer orders share a transaction")
	cmd.Flags().IntVar(&cfg.Rate, "carts", 900, "carts filled beforehand, for each second")
	cmd.Flags().IntVar(&cfg.CellsPerRegion, "cells-per-region", 1, "cells in each of the three regions; 0 is as many as `make up` starts")
	cmd.Flags().BoolVar(&cfg.PlacementsOnly, "placements-only", false, "leave out the comparison of an order's commit with the usual way")
	cmd.Flags().IntVar(&cfg.PortOffset, "port-offset", 10_000, "of the private platform's ports")
	return cmd
}

func (o *options) benchStock() *cobra.Command {
	var cfg bench.StockConfig
	cmd := &cobra.Command{
		Use: "stock", Short: "Reservations through the service against a guarded UPDATE in a transaction", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Seconds < 0.1 || cfg.Seconds > 60 {
				return usagef("--seconds must be 0.1 to 60")
			}
			for _, name := range cfg.Cases {
				if !slices.Contains(bench.StockCases(), name) {
					return usagef("--cases must be among %s", strings.Join(bench.StockCases(), ", "))
				}
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Stock(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 4, "of each measurement; there are fourteen")
	cmd.Flags().StringSliceVar(&cfg.Cases, "cases", nil, "only these: "+strings.Join(bench.StockCases(), ", "))
	return cmd
}

func (o *options) benchPlan() *cobra.Command {
	var cfg bench.PlanConfig
	cmd := &cobra.Command{
		Use: "plan", Short: "Plans of random orders over 175 centres, against the best there are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Orders < 1 || cfg.Orders > 1_000_000 {
				return usagef("--orders must be 1 to 1,000,000")
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Plan(cmd.Context(), cfg))
		},
	}
	cmd.Flags().IntVar(&cfg.Orders, "orders", 2000, "random orders")
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", 1, "of the drawing")
	return cmd
}
