package cellctl

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1/eventsv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func (o *options) dlq() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dlq", Short: "Decide about dead letters: messages that a consumer has given up",
		Long: "Decide about dead letters: messages that a consumer has given up. One is named by its region, its consumer and its id.",
	}
	cmd.AddCommand(o.dlqList(), o.dlqShow(), o.dlqReplay(), o.dlqDrop())
	return cmd
}

func (o *options) dlqList() *cobra.Command {
	var consumer string
	cmd := &cobra.Command{
		Use: "list", Short: "List the dead letters of all regions, the oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			all := []*eventsv1.DeadLetter{}
			for _, region := range ident.Regions() {
				req := &eventsv1.ListDeadLettersRequest{Region: string(region), Consumer: consumer}
				resp, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.ListDeadLetters, req)
				if err != nil {
					return err
				}
				all = append(all, resp.GetLetters()...)
			}
			return o.print(cmd.OutOrStdout(), raws(all), func(out io.Writer) error { return letterTable(out, all) })
		},
	}
	cmd.Flags().StringVar(&consumer, "consumer", "", "only of this consumer, for example fulfillment")
	return cmd
}

// shownReason bounds a reason in a table.
const shownReason = 60

func letterTable(out io.Writer, all []*eventsv1.DeadLetter) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "there is none")
		return err
	}
	lines := []string{tabbed("REGION", "CONSUMER", "MESSAGE", "TRIES", "AGE", "REASON")}
	for _, l := range all {
		reason := []rune(l.GetReason())
		reason = reason[:min(len(reason), shownReason)]
		if i := slices.Index(reason, '\n'); i >= 0 {
			reason = reason[:i]
		}
		lines = append(lines, tabbed(l.GetRegion(), l.GetConsumer(), l.GetMessageId(), l.GetTries(), age(l.GetBuriedAt()), string(reason)))
	}
	return columns(out, lines...)
}

func (o *options) dlqShow() *cobra.Command {
	return &cobra.Command{
		Use: "show REGION CONSUMER MESSAGE", Short: "Show a dead letter with its event, without what is personal", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			req := &eventsv1.GetDeadLetterRequest{Region: args[0], Consumer: args[1], MessageId: args[2]}
			resp, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.GetDeadLetter, req)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(resp), func(out io.Writer) error {
				l := resp.GetLetter()
				err := columns(out, tabbed("message", l.GetMessageId()), tabbed("consumer", l.GetConsumer()+" of "+l.GetRegion()), tabbed("subject", l.GetSubject()),
					tabbed("given up", age(l.GetBuriedAt())+" ago, after "+fmt.Sprint(l.GetTries(), " tries")))
				if err == nil {
					_, err = fmt.Fprintf(out, "reason %s\nevent %s\n", l.GetReason(), orDash(resp.GetEvent()))
				}
				return err
			})
		},
	}
}

func (o *options) dlqReplay() *cobra.Command {
	return o.dlqDecision("replay", "Show a message to its consumer again, and to no other", "is shown to its consumer again",
		func(cmd *cobra.Command, cells *eventCells, args []string, reason string) error {
			req := &eventsv1.ReplayDeadLetterRequest{Region: args[0], Consumer: args[1], MessageId: args[2], Reason: reason}
			_, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.ReplayDeadLetter, req)
			return err
		})
}

func (o *options) dlqDrop() *cobra.Command {
	return o.dlqDecision("drop", "Forget a message: its effect will never be", "is dropped",
		func(cmd *cobra.Command, cells *eventCells, args []string, reason string) error {
			req := &eventsv1.DropDeadLetterRequest{Region: args[0], Consumer: args[1], MessageId: args[2], Reason: reason}
			_, _, err := ask(cmd.Context(), cells, eventsv1connect.EventsServiceClient.DropDeadLetter, req)
			return err
		})
}

func (o *options) dlqDecision(verb, short, done string, decide func(cmd *cobra.Command, cells *eventCells, args []string, reason string) error) *cobra.Command {
	var d decision
	cmd := &cobra.Command{
		Use: verb + " REGION CONSUMER MESSAGE --reason WHY", Short: short, Args: cobra.ExactArgs(3),
		Long: short + ".\nThe reason is kept in the cell's log. Asks before it does so, unless --yes is given.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.confirm(cmd, "Really "+verb+" this message?", args[2]); err != nil {
				return err
			}
			cells, err := o.eventCells(cmd.Context())
			if err != nil {
				return err
			}
			if err := decide(cmd, cells, args, d.reason); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), map[string]string{"region": args[0], "consumer": args[1], "message": args[2], "did": verb}, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s %s\n", args[2], done)
				return err
			})
		},
	}
	d.flags(cmd)
	return cmd
}
