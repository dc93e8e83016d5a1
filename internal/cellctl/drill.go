package cellctl

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/chaos"
	"github.com/cellar-commerce/cellar/internal/bench"
	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1/eventsv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// leastCut: a shorter one is over before a breaker opens. mostCut: a drill is a rehearsal, and not an outage.
	leastCut, mostCut = time.Second, 10 * time.Minute
)

func (o *options) drill() *cobra.Command {
	cmd := &cobra.Command{Use: "drill", Short: "Rehearse a fault under shoppers, and tell what they noticed"}
	cmd.AddCommand(o.drillBroker())
	return cmd
}

func (o *options) drillBroker() *cobra.Command {
	cfg, region, private, portOffset := chaos.BrokerConfig{}, "", false, 0
	cmd := &cobra.Command{
		Use: "broker --region REGION", Short: "Make a region's broker unreachable for a while", Args: cobra.NoArgs,
		Long: "Make the broker of a region unreachable while shoppers place orders through the routers, and give it back: also on Ctrl-C.\n" +
			"Reports what shoppers met with before, during and after it, which parcels had to wait, how many events waited for the\n" +
			"broker and how soon they were delivered; and audits all promises. Ends with 1 if one is broken, or too many checkouts failed.\n\n" +
			"It is done to the platform that runs here, or with --private to one that is started for it alone.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Region = ident.Region(region)
			switch {
			case !slices.Contains(ident.Regions(), cfg.Region):
				return usagef("--region must be one of %v, not %q", ident.Regions(), region)
			case cfg.How != chaos.Hang && cfg.How != chaos.Kill:
				return usagef("--how must be %s or %s, not %q", chaos.Hang, chaos.Kill, cfg.How)
			case cfg.For < leastCut || cfg.For > mostCut:
				return usagef("--for must be %s to %s", leastCut, mostCut)
			case cfg.Shoppers < 1 || cfg.Shoppers > 1000:
				return usagef("--shoppers must be 1 to 1000")
			}
			cfg.Progress = func(s string) { cmd.PrintErrln("drill: " + s) }
			report, err := o.drillAt(cmd.Context(), private, portOffset, cfg)
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), report, report.Table); err != nil {
				return err
			}
			if !report.Holds {
				return ErrFound
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "whose broker is made unreachable")
	cmd.Flags().DurationVar(&cfg.For, "for", 2*time.Minute, "how long")
	cmd.Flags().StringVar(&cfg.How, "how", chaos.Hang, "hang: it answers nothing, as on a dead link; kill: it is gone, and connections are refused")
	cmd.Flags().IntVar(&cfg.Shoppers, "shoppers", 8, "at once")
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", defaultSeed, "same seed, same wishes")
	cmd.Flags().BoolVar(&private, "private", false, "do it to a platform that is started for it, and stopped")
	cmd.Flags().IntVar(&portOffset, "port-offset", 10_000, "of the private platform's ports")
	return cmd
}

// drillAt the platform here, or a private one.
func (o *options) drillAt(ctx context.Context, private bool, portOffset int, cfg chaos.BrokerConfig) (report chaos.Report, err error) {
	at := *o
	if private {
		programs, err := binDir()
		if err != nil {
			return report, err
		}
		cfg.Progress("starting a platform")
		dir, stop, started := bench.StartPlatform(ctx, programs, portOffset)
		defer func() { err = errors.Join(err, stop()) }()
		if started != nil {
			return report, started
		}
		at.dir = dir
	}
	info, err := at.running(ctx)
	if err != nil {
		return report, err
	}
	cells, err := at.eventCells(ctx)
	if err != nil {
		return report, err
	}
	cfg.Dir = at.dir
	cfg.Lag = func(ctx context.Context) (chaos.Backlog, error) { return backlog(ctx, cells) }
	cfg.Audit = func(ctx context.Context) ([]string, error) { return brokenPromises(ctx, info) }
	return chaos.Broker(ctx, cfg)
}

// backlog of all regions' outboxes, as `outbox lag` has it.
func backlog(ctx context.Context, cells *eventCells) (chaos.Backlog, error) {
	all := chaos.Backlog{}
	for _, region := range ident.Regions() {
		resp, _, err := ask(ctx, cells, eventsv1connect.EventsServiceClient.GetLag, &eventsv1.GetLagRequest{Region: string(region)})
		if err != nil {
			return nil, err
		}
		for _, l := range resp.GetLags() {
			all.Add(ident.Region(l.GetDestination()), l.GetPending(), l.GetOldest().AsTime())
		}
	}
	return all, nil
}
