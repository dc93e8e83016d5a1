package cellctl

import (
	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/bench"
)

func (o *options) benchEvents() *cobra.Command {
	var cfg bench.EventsConfig
	cmd := &cobra.Command{
		Use: "events", Short: "The relay against one that sends one by one; how late events are; a consumer with an inbox", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Seconds < 0.5 || cfg.Seconds > 60 || cfg.Events < 1000 || cfg.Events > 45_000 {
				return usagef("--seconds must be 0.5 to 60, --events 1000 to 45000")
			}
			if cfg.BinDir, err = binDir(); err != nil {
				return err
			}
			cfg.Progress = benchProgress(cmd)
			return o.measured(cmd)(bench.Events(cmd.Context(), cfg))
		},
	}
	cmd.Flags().Float64Var(&cfg.Seconds, "seconds", 5, "that events are sent one by one for, and that the lag is taken for")
	cmd.Flags().IntVar(&cfg.Events, "events", 20_000, "that wait for the relay")
	return cmd
}
