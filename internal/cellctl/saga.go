package cellctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1/recoveryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func (o *options) saga() *cobra.Command {
	cmd := &cobra.Command{
		Use: "saga", Short: "See what is under way, and decide about what does not end by itself",
		Long: "See what is under way, and decide about what does not end by itself. Commands go to a cell that answers; it takes what\n" +
			"changes a saga to the cell that owns the saga's customer.",
	}
	cmd.AddCommand(o.sagaList(), o.sagaShow(), o.sagaRetry(), o.sagaUndo(), o.sagaDemo())
	return cmd
}

// recovery is the recovery service of some cells.
type recovery = cells[recoveryv1connect.RecoveryServiceClient]

// recovery of the platform's cells, or of the one that is named.
func (o *options) recovery(ctx context.Context, named string) (*recovery, error) {
	all, err := cellsOf(ctx, o, recoveryv1connect.NewRecoveryServiceClient)
	if err != nil || named == "" {
		return all, err
	}
	i := slices.Index(all.names, named)
	if i < 0 {
		return nil, fmt.Errorf("the map has no cell %q", named)
	}
	return &recovery{all.names[i : i+1], all.clients[i : i+1]}, nil
}

func (o *options) sagaList() *cobra.Command {
	var status, kind string
	cmd := &cobra.Command{
		Use: "list", Short: "List sagas that wait for an operator, or are under way", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted, ok := recoveryv1.Status_value["STATUS_"+strings.ToUpper(status)]
			if !ok {
				return usagef("--status must be parked, running or undoing, not %q", status)
			}
			r, err := o.recovery(cmd.Context(), "")
			if err != nil {
				return err
			}
			all := []*recoveryv1.Saga{}
			for _, ring := range ident.Regions() {
				req := &recoveryv1.ListSagasRequest{Ring: string(ring), Status: recoveryv1.Status(wanted), Kind: kind}
				resp, _, err := ask(cmd.Context(), r, recoveryv1connect.RecoveryServiceClient.ListSagas, req)
				if err != nil {
					return err
				}
				all = append(all, resp.GetSagas()...)
			}
			return o.print(cmd.OutOrStdout(), raws(all), func(out io.Writer) error { return sagaTable(out, all) })
		},
	}
	cmd.Flags().StringVar(&status, "status", "parked", "parked, running or undoing")
	cmd.Flags().StringVar(&kind, "kind", "", "only sagas of this kind, for example placement")
	return cmd
}

func sagaTable(out io.Writer, all []*recoveryv1.Saga) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "there is none")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SAGA\tKIND\tSTATUS\tSTEP\tTRIES\tLAST ERROR\tAGE\tSINCE\tCELL") // Flush tells
	for _, s := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", s.GetSagaId(), s.GetKind(), statusWord(s.GetStatus()), s.GetStep(), s.GetTries(),
			orDash(s.GetLastError()), age(s.GetCreatedAt()), age(s.GetUpdatedAt()), orDash(s.GetHeldBy()))
	}
	return w.Flush()
}

func statusWord(s recoveryv1.Status) string { return strings.TrimPrefix(s.String(), "STATUS_") }

func (o *options) sagaShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a saga with its state, without what is personal", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.recovery(cmd.Context(), "")
			if err != nil {
				return err
			}
			resp, _, err := ask(cmd.Context(), r, recoveryv1connect.RecoveryServiceClient.GetSaga, &recoveryv1.GetSagaRequest{SagaId: args[0]})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(resp), func(out io.Writer) error { return showSaga(out, resp) })
		},
	}
}

func showSaga(out io.Writer, resp *recoveryv1.GetSagaResponse) error {
	s := resp.GetSaga()
	status := statusWord(s.GetStatus())
	if s.GetStatus() == recoveryv1.Status_STATUS_PARKED {
		status += ", was " + statusWord(s.GetParkedFrom())
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, line := range [][2]string{
		{"saga", s.GetSagaId()}, {"kind", s.GetKind()}, {"customer", s.GetCustomerId() + " of " + s.GetRing()}, {"status", status},
		{"step", s.GetStep()}, {"tries", fmt.Sprint(s.GetTries())}, {"last error", orDash(s.GetLastError())}, {"cell", orDash(s.GetHeldBy())},
		{"begun", age(s.GetCreatedAt()) + " ago"}, {"last written", age(s.GetUpdatedAt()) + " ago"},
	} {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], line[1]) // Flush tells
	}
	for note := range strings.Lines(s.GetNotes()) {
		_, _ = fmt.Fprintf(w, "note\t%s", note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "state %s\n", orDash(resp.GetState()))
	return err
}

func (o *options) sagaRetry() *cobra.Command {
	return o.sagaDecision("retry", "Put a parked saga back to what it was", "Put a parked saga back to what it was, RUNNING or UNDOING, with all its tries before it.",
		func(ctx context.Context, r *recovery, id, reason string) (*recoveryv1.Saga, error) {
			resp, _, err := ask(ctx, r, recoveryv1connect.RecoveryServiceClient.RetrySaga, &recoveryv1.RetrySagaRequest{SagaId: id, Reason: reason})
			return resp.GetSaga(), err
		})
}

func (o *options) sagaUndo() *cobra.Command {
	return o.sagaDecision("undo", "Turn a saga back that still may turn", "Turn a saga back that has not passed its point of no return: all it has done is undone.",
		func(ctx context.Context, r *recovery, id, reason string) (*recoveryv1.Saga, error) {
			resp, _, err := ask(ctx, r, recoveryv1connect.RecoveryServiceClient.UndoSaga, &recoveryv1.UndoSagaRequest{SagaId: id, Reason: reason})
			return resp.GetSaga(), err
		})
}

// sagaDecision is a command that changes a saga: with a reason, and not by mistake.
func (o *options) sagaDecision(verb, short, long string, decide func(ctx context.Context, r *recovery, id, reason string) (*recoveryv1.Saga, error)) *cobra.Command {
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use: verb + " ID --reason WHY", Short: short, Args: cobra.ExactArgs(1),
		Long: long + "\nThe reason is kept with the saga. Asks before it does so, unless --yes is given.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef("--reason is required: it is kept with the saga")
			}
			r, err := o.recovery(cmd.Context(), "")
			if err != nil {
				return err
			}
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), verb, args[0]); err != nil {
					return err
				}
			}
			s, err := decide(cmd.Context(), r, args[0], reason)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(s), func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s is %s at %s\n", s.GetSagaId(), statusWord(s.GetStatus()), s.GetStep())
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept with the saga")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (o *options) sagaDemo() *cobra.Command {
	var poison bool
	var cell string
	begin := &cobra.Command{
		Use: "begin", Short: "Begin a demo", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := o.recovery(cmd.Context(), cell)
			if err != nil {
				return err
			}
			resp, at, err := ask(cmd.Context(), r, recoveryv1connect.RecoveryServiceClient.BeginDemo, &recoveryv1.BeginDemoRequest{Poison: poison})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raw(resp.GetSaga()), func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s runs in cell %s\n", resp.GetSaga().GetSagaId(), at)
				return err
			})
		},
	}
	begin.Flags().BoolVar(&poison, "poison", false, "do not wait, but fail at the last step until released: it will be parked")
	begin.Flags().StringVar(&cell, "cell", "", "in this cell (default: the first that answers)")
	release := &cobra.Command{
		Use: "release ID", Short: "Let a demo go on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.recovery(cmd.Context(), "")
			if err != nil {
				return err
			}
			if _, _, err := ask(cmd.Context(), r, recoveryv1connect.RecoveryServiceClient.ReleaseDemo, &recoveryv1.ReleaseDemoRequest{SagaId: args[0]}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is released\n", args[0])
			return err
		},
	}
	cmd := &cobra.Command{Use: "demo", Short: "Sagas that wait until they are released, to practise on"}
	cmd.AddCommand(begin, release)
	return cmd
}
