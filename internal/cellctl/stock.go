package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/stockroom"
)

func (o *options) stock() *cobra.Command {
	cmd := &cobra.Command{Use: "stock", Short: "Receive deliveries, find and put right counts that have drifted, check the summaries, report what is not on the shelf, see what is to be picked"}
	cmd.AddCommand(o.stockReceive(), o.stockInconsistencies(), o.stockCompensate(), o.stockSummary(), o.stockShort(), o.stockWaves())
	return cmd
}

// inRoom runs a command with the stock of the platform at hand.
func (o *options) inRoom(ctx context.Context, work func(*stockroom.Room) error) error {
	info, err := o.running(ctx)
	if err != nil {
		return err
	}
	room, err := stockroom.Open(ctx, info.DatabaseURL)
	if err != nil {
		return err
	}
	defer room.Close()
	return work(room)
}

func (o *options) stockReceive() *cobra.Command {
	return &cobra.Command{
		Use: "receive FILE", Short: "Count suppliers' deliveries from a CSV or JSON Lines file", Args: cobra.ExactArgs(1),
		Long: "Count suppliers' deliveries from a CSV file with the columns delivery_id, fc_id, sku and quantity, or from JSON Lines\n" +
			"with these keys. A delivery counts once, however often its file is received. If a line is wrong, nothing is counted.",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			deliveries, err := stockroom.Parse(f)
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("receive %s: nothing was counted:\n%w", args[0], err)
			}
			return o.inRoom(cmd.Context(), func(room *stockroom.Room) error {
				r, err := room.Receive(cmd.Context(), deliveries)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), r, func(out io.Writer) error {
					_, err := fmt.Fprintf(out, "%d lines of %d deliveries: %d units are new; %d batches had been counted before\n", r.Lines, len(deliveries), r.Units, r.Already)
					return err
				})
			})
		},
	}
}

func (o *options) stockInconsistencies() *cobra.Command {
	return &cobra.Command{
		Use: "inconsistencies", Short: "List stock whose counts are not what the ledger and the orders say", Args: cobra.NoArgs,
		Long: "List stock whose counts are not what the ledger and the orders say, and what they should be. Exits with 1 if there is any.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.inRoom(cmd.Context(), func(room *stockroom.Room) error { return o.listFindings(cmd, room.Inconsistencies, true) })
		},
	}
}

func (o *options) stockCompensate() *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use: "compensate", Short: "Put counts right that have drifted", Args: cobra.NoArgs,
		Long: "Set the counts of stock that has drifted to what the ledger and the orders say, each under its lock. With --dry-run only\n" +
			"tell what would be set. What is oversold cannot be put right by counts: it is listed, and the command exits with 1.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.inRoom(cmd.Context(), func(room *stockroom.Room) error {
				if dryRun {
					return o.listFindings(cmd, room.Inconsistencies, false)
				}
				return o.listFindings(cmd, room.Compensate, false)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing")
	return cmd
}

// listFindings of a search. An oversold product is always an error, one that has drifted only where strict.
func (o *options) listFindings(cmd *cobra.Command, search func(context.Context) ([]stockroom.Finding, error), strict bool) error {
	found, err := search(cmd.Context())
	if err != nil {
		return err
	}
	if err := o.print(cmd.OutOrStdout(), found, func(out io.Writer) error { return findingsTable(out, found) }); err != nil {
		return err
	}
	oversold := slices.ContainsFunc(found, func(f stockroom.Finding) bool { return f.Oversold() })
	if oversold || (strict && len(found) > 0) {
		return ErrFound
	}
	return nil
}

func findingsTable(out io.Writer, found []stockroom.Finding) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(out, "every count is what the ledger and the orders say")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "REGION\tFC\tSKU\tAVAILABLE\tRESERVED\tVERDICT") // Flush tells
	for _, f := range found {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d → %d\t%d → %d\t%s\n", f.Region, f.FC, f.SKU, f.Available, f.RightAvailable, f.Reserved, f.RightReserved, f.Verdict)
	}
	return w.Flush()
}

func (o *options) stockSummary() *cobra.Command {
	return &cobra.Command{
		Use: "summary", Short: "Compare the summaries of stock with the stock", Args: cobra.NoArgs,
		Long: "Compare what each region believes about where there is some of each product with what there is. Under load they differ\n" +
			"by what is under way; the planner asks before it promises.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.inRoom(cmd.Context(), func(room *stockroom.Room) error {
				all, err := room.Summaries(cmd.Context())
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), all, func(out io.Writer) error {
					w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
					_, _ = fmt.Fprintln(w, "IN\tABOUT\tBITS\tEMPTY\tMISSING\tMISJUDGED\tERROR RATE") // Flush tells
					for _, s := range all {
						_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%.5f\n", s.Reader, s.Region, s.Bits, s.Empty, s.Missing, s.Misjudged, s.ErrorRate)
					}
					return w.Flush()
				})
			})
		},
	}
}
