package cellctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1/eventsv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// eventCells are the events services of the platform's cells.
type eventCells = cells[eventsv1connect.EventsServiceClient]

func (o *options) eventCells(ctx context.Context) (*eventCells, error) {
	return cellsOf(ctx, o, eventsv1connect.NewEventsServiceClient)
}

func (o *options) outbox() *cobra.Command {
	cmd := &cobra.Command{Use: "outbox", Short: "See how far events are behind, and send some once more"}
	cmd.AddCommand(o.outboxLag(), o.outboxReplay())
	return cmd
}

func (o *options) outboxLag() *cobra.Command {
	return &cobra.Command{
		Use: "lag", Short: "Show what waits in the outboxes, by database and destination", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			all := []*eventsv1.Lag{}
			for _, region := range ident.Regions() {
				resp, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.GetLag, &eventsv1.GetLagRequest{Region: string(region)})
				if err != nil {
					return err
				}
				all = append(all, resp.GetLags()...)
			}
			return o.print(cmd.OutOrStdout(), raws(all), func(out io.Writer) error { return lagTable(out, all) })
		},
	}
}

func lagTable(out io.Writer, all []*eventsv1.Lag) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing waits")
		return err
	}
	lines := []string{tabbed("REGION", "DATABASE", "DESTINATION", "PENDING", "OLDEST")}
	for _, l := range all {
		lines = append(lines, tabbed(l.GetRegion(), l.GetDatabase(), l.GetDestination(), l.GetPending(), age(l.GetOldest())))
	}
	return columns(out, lines...)
}

func (o *options) feed() *cobra.Command {
	cmd := &cobra.Command{Use: "feed", Short: "See how far the feed for analytics is behind"}
	cmd.AddCommand(o.feedLag())
	return cmd
}

func (o *options) feedLag() *cobra.Command {
	return &cobra.Command{
		Use: "lag", Short: "Show what is not written into Quickwit yet, by region and stream", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			all := []*eventsv1.FeedLag{}
			for _, region := range ident.Regions() { // cells of other regions pass the question on
				resp, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.GetFeedLag, &eventsv1.GetFeedLagRequest{Region: string(region)})
				if err != nil {
					return fmt.Errorf("feed of %s: %w", region, err)
				}
				all = append(all, resp.GetLags()...)
			}
			return o.print(cmd.OutOrStdout(), raws(all), func(out io.Writer) error { return feedTable(out, all) })
		},
	}
}

func feedTable(out io.Writer, all []*eventsv1.FeedLag) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "there is no feed: the cells have no --quickwit-url")
		return err
	}
	lines := []string{tabbed("REGION", "INDEX", "CONSUMER", "PENDING", "LAST WRITTEN")}
	for _, l := range all {
		last := "never"
		if l.GetLast() != nil {
			last = age(l.GetLast()) + " ago"
		}
		lines = append(lines, tabbed(l.GetRegion(), l.GetIndex(), l.GetConsumer(), l.GetPending(), last))
	}
	return columns(out, lines...)
}

// decision of an operator: with a reason, and not by mistake.
type decision struct {
	reason string
	yes    bool
}

func (d *decision) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.reason, "reason", "", "why; kept in the cell's log")
	cmd.Flags().BoolVar(&d.yes, "yes", false, "do not ask")
}

func (d *decision) confirm(cmd *cobra.Command, question, name string) error {
	if strings.TrimSpace(d.reason) == "" {
		return usagef("--reason is required: it is kept in the cell's log")
	}
	if d.yes {
		return nil
	}
	return confirmName(cmd.InOrStdin(), cmd.ErrOrStderr(), question, name)
}

func (o *options) outboxReplay() *cobra.Command {
	var d decision
	var destination, from string
	var since time.Duration
	cmd := &cobra.Command{
		Use: "replay --destination REGION --reason WHY", Short: "Send events once more that a region's broker has acknowledged", Args: cobra.NoArgs,
		Long: "Send events once more that a region's broker has acknowledged, for example because it has lost its disk.\n" +
			"Receivers do nothing a second time. Asks before it does so, unless --yes is given.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			regions := ident.Regions()
			if !slices.Contains(regions, ident.Region(destination)) {
				return usagef("--destination must be a region, not %q", destination)
			}
			if from != "" {
				if !slices.Contains(regions, ident.Region(from)) {
					return usagef("--from must be a region, not %q", from)
				}
				regions = []ident.Region{ident.Region(from)}
			}
			if since <= 0 || since > 24*time.Hour {
				return usagef("--since must be up to 24h: older events are not kept")
			}
			if err := d.confirm(cmd, "Send the events of the last "+since.String()+" once more to this region?", destination); err != nil {
				return err
			}
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			report := replayed{Destination: destination}
			for _, region := range regions {
				n, err := replayFrom(cmd.Context(), cells, &eventsv1.ReplayOutboxRequest{
					Region: string(region), Destination: destination, Since: timestamppb.New(time.Now().Add(-since)), Reason: d.reason,
				})
				report.Events += n
				if err != nil {
					return fmt.Errorf("after %d events: %w", report.Events, err)
				}
			}
			return o.print(cmd.OutOrStdout(), report, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s will be sent to %s once more\n", count(report.Events, "event"), destination)
				return err
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&destination, "destination", "", "region whose broker is to have the events again")
	cmd.Flags().StringVar(&from, "from", "", "only events of this region (default: of all)")
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far back, by when they were acknowledged")
	return cmd
}

// replayed events, as a report.
type replayed struct {
	Destination string `json:"destination"`
	Events      int64  `json:"events"`
}

// replayFrom one region, batch by batch.
func replayFrom(ctx context.Context, cells *eventCells, req *eventsv1.ReplayOutboxRequest) (events int64, err error) {
	for {
		resp, _, err := ask(ctx, cells, eventsv1connect.EventsServiceClient.ReplayOutbox, req)
		if err != nil {
			return events, err
		}
		events += resp.GetEvents()
		if req.Cursor = resp.GetCursor(); req.Cursor == "" {
			return events, nil
		}
	}
}
