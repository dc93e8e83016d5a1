package cellctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
	"github.com/cellar-commerce/cellar/internal/platform"
)

func (o *options) benchEvacuate() *cobra.Command {
	cfg, running := bench.EvacuateConfig{Audit: brokenPromises}, false
	cmd := &cobra.Command{
		Use: "evacuate", Short: "Evacuations of a cell that is well, hung and killed, under shoppers", Args: cobra.NoArgs,
		Long: "Evacuations of a cell that is well, of one that hangs (SIGSTOP) and of one that was killed, each undone again, while shoppers\n" +
			"place orders through the routers. Measures from the command to the last write of the former owner, by the control plane's\n" +
			"report and by a caller of the cell; checkouts that had no answer; and how soon a killed cell's customers are served.\n" +
			"Audits all promises at the end. With --running it does that to the platform that runs here, and leaves it whole.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 1 || cfg.Seconds > 140 || cfg.Rounds < 1 || cfg.Rounds > 100 || cfg.Shoppers < 1 || cfg.Shoppers > 1000 {
				return usagef("--seconds must be 1 to 140, --rounds 1 to 100, --shoppers 1 to 1000")
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			if running {
				cfg.Running = o.dir
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Evacuate(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 110, "after which nothing more is begun")
	cmd.Flags().IntVar(&cfg.Rounds, "rounds", 5, "of the three cases, as many as there is time for")
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 4, "at once")
	cmd.Flags().BoolVar(&running, "running", false, "do it to the platform that runs here")
	cmd.Flags().IntVar(&cfg.PortOffset, "port-offset", 10_000, "of the private platform's ports")
	return cmd
}

// brokenPromises that an audit finds, in sentences.
func brokenPromises(ctx context.Context, info platform.Info) (broken []string, err error) {
	report, err := Audit(ctx, info)
	for _, p := range report.Promises {
		broken = append(broken, p.Violations...)
	}
	return broken, err
}
