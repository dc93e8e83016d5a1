package cellctl

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

func (o *options) review() *cobra.Command {
	cmd := &cobra.Command{
		Use: "review", Short: "Decide about reviews, questions and answers that a rule of moderation holds",
		Long: "Decide about reviews, questions and answers that a rule of moderation holds, or about any other. Commands go to a cell\n" +
			"that answers; it takes decisions to the cell that owns the author.",
	}
	cmd.AddCommand(o.reviewList(), o.reviewShow(), o.reviewDecision(true), o.reviewDecision(false))
	return cmd
}

// askReview asks the cells of the map, one after another, until one answers.
func (o *options) askReview(ctx context.Context, ask func(context.Context, reviewv1connect.ReviewServiceClient) error) error {
	info, err := o.running(ctx)
	if err != nil {
		return err
	}
	m, err := info.ReadMap()
	if err != nil {
		return err
	}
	key, err := secret.Read(info.PeerKey)
	if err != nil {
		return err
	}
	peers := rpc.Peer(key, nil)
	for i := range m.Cells {
		own, cancel := context.WithTimeout(ctx, askTimeout)
		err = ask(own, reviewv1connect.NewReviewServiceClient(peers, "http://"+m.Cells[i].Internal, rpc.ClientOptions()...))
		cancel()
		if problem.KindOf(err) != problem.Unavailable {
			break
		}
	}
	return explained(err)
}

func (o *options) reviewList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is held, the oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := []*reviewv1.Contribution{}
			for _, ring := range ident.Regions() {
				err := o.askReview(cmd.Context(), func(ctx context.Context, c reviewv1connect.ReviewServiceClient) error {
					resp, err := c.ListHeld(ctx, &reviewv1.ListHeldRequest{Ring: string(ring)})
					all = append(all, resp.GetContributions()...)
					return err
				})
				if err != nil {
					return err
				}
			}
			return o.print(cmd.OutOrStdout(), raws(all), func(out io.Writer) error { return reviewTable(out, all) })
		},
	}
}

// firstWords of a text are shown in a table, in characters.
const firstWords = 60

func reviewTable(out io.Writer, all []*reviewv1.Contribution) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "there is none")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tKIND\tPRODUCT\tSTARS\tHELD FOR\tAGE\tTEXT") // Flush tells
	for _, c := range all {
		text := []rune(strings.Join(strings.Fields(c.GetTitle()+" "+c.GetText()), " "))
		if len(text) > firstWords {
			text = append(text[:firstWords], '…')
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.GetContributionId(), reviewKind(c), c.GetSku(), reviewStars(c), strings.Join(c.GetHeldFor(), ","), age(c.GetChangedAt()), printable(string(text)))
	}
	return w.Flush()
}

func reviewKind(c *reviewv1.Contribution) string {
	return strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "KIND_"))
}

func reviewStars(c *reviewv1.Contribution) string {
	if c.GetRating() == 0 {
		return "-"
	}
	return fmt.Sprint(c.GetRating())
}

func (o *options) reviewShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one with its text and why it is held", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.findReview(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(c), func(out io.Writer) error { return showReview(out, c) })
		},
	}
}

func (o *options) findReview(ctx context.Context, id string) (found *reviewv1.Contribution, err error) {
	err = o.askReview(ctx, func(ctx context.Context, c reviewv1connect.ReviewServiceClient) error {
		resp, err := c.GetContribution(ctx, &reviewv1.GetContributionRequest{ContributionId: id})
		found = resp.GetContribution()
		return err
	})
	return found, err
}

func showReview(out io.Writer, c *reviewv1.Contribution) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", c.GetContributionId()}, {"kind", reviewKind(c)}, {"product", c.GetSku()}, {"stars", reviewStars(c)}, {"state", strings.TrimPrefix(c.GetState().String(), "STATE_")},
		{"held for", orDash(strings.Join(c.GetHeldFor(), ", "))}, {"reason", orDash(c.GetReason())}, {"written", age(c.GetWrittenAt()) + " ago"}, {"version", fmt.Sprint(c.GetVersion())},
	} {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], line[1]) // Flush tells
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n%s\n", printable(c.GetTitle()), printable(c.GetText()))
	return err
}

// printable text: what a stranger wrote must not steer the operator's terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r >= 0x20 && r != 0x7f && (r < 0x80 || r > 0x9f)) {
			return r
		}
		return '�'
	}, text)
}

// reviewDecision is the command that publishes, or that rejects.
func (o *options) reviewDecision(publish bool) *cobra.Command {
	verb, short := "reject", "Keep one from being seen, or take it back"
	if publish {
		verb, short = "approve", "Publish one"
	}
	var reason string
	cmd := &cobra.Command{
		Use: verb + " ID --reason WHY", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ". The reason is kept with it, and its author sees it. What the author has changed meanwhile is not decided.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef("--reason is required: it is kept, and the author sees it")
			}
			c, err := o.findReview(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			err = o.askReview(cmd.Context(), func(ctx context.Context, client reviewv1connect.ReviewServiceClient) error {
				resp, err := client.DecideContribution(ctx, &reviewv1.DecideContributionRequest{ContributionId: args[0], Publish: publish, Reason: reason, Version: c.GetVersion()})
				if err == nil {
					c = resp.GetContribution()
				}
				return err
			})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(c), func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s is %s\n", c.GetContributionId(), strings.TrimPrefix(c.GetState().String(), "STATE_"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept, and shown to the author")
	return cmd
}
