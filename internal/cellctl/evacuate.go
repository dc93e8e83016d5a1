package cellctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

// moveFlags of commands that plan a move of slots, show it, and start it.
type moveFlags struct {
	planned
	overCapacity bool
	dryRun       bool
	wait         bool
	hash         string
}

func (f *moveFlags) add(cmd *cobra.Command) {
	f.causeFlags.add(cmd)
	f.addYes(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plan, and change nothing")
	cmd.Flags().BoolVar(&f.overCapacity, "over-capacity", false, "go ahead though a cell would get more than it can carry")
	cmd.Flags().StringVar(&f.hash, "plan", "", "hash of the plan that was looked at before; nothing else is started")
	cmd.Flags().BoolVar(&f.wait, "wait", true, "wait for its end, and report")
}

// move of slots that is planned, shown, confirmed and started.
type move struct {
	// name is to be typed, after the question.
	name, question string
	plan           func(*plane) (*topologyv1.Plan, error)
	start          func(p *plane, hash string, cause *topologyv1.Cause) (*topologyv1.Evacuation, error)
}

// move slots as an operator does: look at the plan, mean it, start that and nothing else, watch.
func (o *options) move(cmd *cobra.Command, f *planeFlags, flags *moveFlags, m move) error {
	if !flags.dryRun {
		if _, err := flags.cause(0); err != nil {
			return err
		}
	}
	p, err := o.plane(cmd.Context(), f)
	if err != nil {
		return err
	}
	plan, err := m.plan(p)
	if err != nil {
		return err
	}
	if flags.dryRun {
		if err := o.printMessage(cmd.OutOrStdout(), plan, func(out io.Writer) error { return showPlan(out, plan) }); err != nil {
			return err
		}
		return flags.refusal(plan)
	}
	if err := showPlan(cmd.ErrOrStderr(), plan); err != nil {
		return err
	}
	if err := flags.refusal(plan); err != nil {
		return err
	}
	if err := flags.confirm(cmd, m.question, m.name); err != nil {
		return err
	}
	cause, err := flags.cause(0) // the hash tells what was looked at
	if err != nil {
		return err
	}
	e, err := m.start(p, plan.GetHash(), cause)
	if err != nil {
		return err
	}
	return o.follow(cmd, p, e, flags.wait, f.timeout)
}

// refusal to start a plan; nil when it can be started.
func (f *moveFlags) refusal(p *topologyv1.Plan) error {
	switch {
	case f.hash != "" && f.hash != p.GetHash():
		return refusedf("PLAN_CHANGED: the plan is another by now (%s): look at it, and start that", p.GetHash())
	case p.GetRefusalReason() == "OVER_CAPACITY" && f.overCapacity, p.GetRefusalReason() == "":
		return nil
	}
	return refusedf("%s: %s", p.GetRefusalReason(), p.GetRefusal())
}

func showPlan(out io.Writer, p *topologyv1.Plan) error {
	lines := []string{fmt.Sprintf("plan, from map %d:", p.GetMapVersion())}
	for n, step := range p.GetSteps() {
		lines = append(lines, fmt.Sprintf("%3d. %s", n+1, step))
	}
	if len(p.GetTargets()) > 0 {
		lines = append(lines, "", "CELL\tGETS SLOTS\tHAS THEN\tGETS CUSTOMERS\tLOAD NOW\tLOAD AFTER\tCAN CARRY")
	}
	for _, t := range p.GetTargets() {
		lines = append(lines, tabbed(t.GetCellId(), t.GetSlots(), t.GetSlotsAfter(), "about "+count(t.GetCustomers(), "customer"),
			perSecond(t.GetLoadBefore()), perSecond(t.GetLoadAfter()), perSecond(t.GetCapacity())))
	}
	lines = append(lines, "", fmt.Sprintf("%s of about %s, %s under way there now, %s that end%s",
		count(p.GetSlots(), "slot"), count(p.GetCustomers(), "customer"), count(p.GetSagasInFlight(), "saga"), count(len(p.GetOverrides()), "override"), third(len(p.GetOverrides()))))
	if p.GetRefusalReason() != "" {
		lines = append(lines, fmt.Sprintf("cannot be started: %s: %s", p.GetRefusalReason(), p.GetRefusal()))
	}
	return columns(out, append(lines, "plan hash "+p.GetHash(), "")...)
}

// third person's ending.
func third(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

func (o *options) evacuate() *cobra.Command {
	var f planeFlags
	var m moveFlags
	var region string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "evacuate {CELL|--region R} --reason WHY", Short: "Move all customers of a cell, or of a region's cells, to others", Args: cobra.MaximumNArgs(1),
		Long: "Move all customers of a cell, or of all cells of a region, to others; the cell may be well, hung or dead. Shows the plan and\n" +
			"asks for the name to be typed, unless --yes is given; starts what was shown and nothing else; reports when it is done.\n" +
			"It is undone by itself when it expires, and by `cellctl undo` before. docs/evacuating-a-cell.md has the whole of it.\n\n" + exitHelp,
		ValidArgsFunction: o.cellNames(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (region != "") {
				return usagef("name a cell, or --region; one of the two")
			}
			if err := checkExpiry(expires); err != nil {
				return err
			}
			name, cell := region, ""
			if len(args) == 1 {
				name, cell = args[0], args[0]
			}
			return o.move(cmd, &f, &m, move{
				name: name, question: "Evacuate " + name + "?",
				plan: func(p *plane) (*topologyv1.Plan, error) {
					resp, err := tell(cmd.Context(), p, mapService.PlanEvacuation, &topologyv1.PlanEvacuationRequest{CellId: cell, Region: region})
					return resp.GetPlan(), err
				},
				start: func(p *plane, hash string, cause *topologyv1.Cause) (*topologyv1.Evacuation, error) {
					resp, err := tell(cmd.Context(), p, mapService.StartEvacuation, &topologyv1.StartEvacuationRequest{
						CellId: cell, Region: region, PlanHash: hash, Cause: cause, ExpiresIn: durationpb.New(expires), OverCapacity: m.overCapacity,
					})
					return resp.GetEvacuation(), err
				},
			})
		},
	}
	f.add(cmd)
	m.add(cmd)
	cmd.Flags().StringVar(&region, "region", "", "evacuate all cells of this region")
	cmd.Flags().DurationVar(&expires, "expires", 2*time.Hour, "after how long it is undone by itself, a minute to 30 days")
	cmd.AddCommand(o.evacuateList(&f), o.evacuateShow(&f), o.evacuateAbort(&f))
	return cmd
}

func (o *options) evacuateList(f *planeFlags) *cobra.Command {
	var limit int32
	cmd := &cobra.Command{
		Use: "list", Short: "List evacuations and other moves of slots, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.ListEvacuations, &topologyv1.ListEvacuationsRequest{Limit: limit})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raws(resp.GetEvacuations()), func(out io.Writer) error {
				lines := []string{"MOVE\tKIND\tOF\tSTATE\tSLOTS\tSTARTED\tTOOK\tWHO\tREASON"}
				for _, e := range resp.GetEvacuations() {
					lines = append(lines, tabbed(e.GetEvacuationId(), moveKind(e), of(e), moveState(e), e.GetPlan().GetSlots(), when(e.GetStartedAt()), took(e), e.GetWho(), e.GetReason()))
				}
				return columns(out, lines...)
			})
		},
	}
	cmd.Flags().Int32Var(&limit, "limit", 20, "how many at most, up to 500")
	return cmd
}

// moveIDs completes the ids of moves.
func (o *options) moveIDs(f *planeFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (ids []cobra.Completion, _ cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		p, err := o.plane(ctx, f)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		resp, err := tell(ctx, p, mapService.ListEvacuations, &topologyv1.ListEvacuationsRequest{Limit: 20})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, e := range resp.GetEvacuations() {
			ids = append(ids, cobra.CompletionWithDesc(e.GetEvacuationId(), moveKind(e)+" of "+of(e)+", "+moveState(e)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

func (o *options) evacuateShow(f *planeFlags) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a move with its report", Args: cobra.ExactArgs(1), ValidArgsFunction: o.moveIDs(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.GetEvacuation, &topologyv1.GetEvacuationRequest{EvacuationId: args[0]})
			if err != nil {
				return err
			}
			if follow {
				return o.follow(cmd, p, resp.GetEvacuation(), true, f.timeout)
			}
			return o.report(cmd, p, resp.GetEvacuation())
		},
	}
	cmd.Flags().BoolVar(&follow, "wait", false, "wait for its end, and report")
	return cmd
}

func (o *options) evacuateAbort(f *planeFlags) *cobra.Command {
	var cause causeFlags
	var wait bool
	cmd := &cobra.Command{
		Use: "abort ID --reason WHY", Short: "Give up a move that is under way: what has moved goes back", Args: cobra.ExactArgs(1), ValidArgsFunction: o.moveIDs(f),
		Long: "Give up a move that is under way: what has moved goes back, at once and without asking, for this is a way out.\n\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.AbortEvacuation, &topologyv1.AbortEvacuationRequest{EvacuationId: args[0], Cause: c})
			if err != nil {
				return err
			}
			return o.follow(cmd, p, resp.GetEvacuation(), wait, f.timeout)
		},
	}
	cause.add(cmd)
	cmd.Flags().BoolVar(&wait, "wait", true, "wait for its end, and report")
	return cmd
}

func (o *options) undo() *cobra.Command {
	var f planeFlags
	var change planned
	var wait bool
	cmd := &cobra.Command{
		Use: "undo {ID|CELL} --reason WHY", Short: "Take a move of slots back that is done: the newest of a cell, or the one that is named", Args: cobra.ExactArgs(1),
		Long: "Take a move of slots back that is done: slots that are still where it has put them go back, by a move of its own. Asks before\n" +
			"it does so, unless --yes is given. A move that is still under way is given up by `cellctl evacuate abort`.\n\n" + exitHelp,
		ValidArgsFunction: o.cellNames(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			cause, err := change.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), &f)
			if err != nil {
				return err
			}
			e, err := undoable(cmd.Context(), p, args[0])
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Undo the %s %s of %s, %s, started %s by %s?", moveKind(e), e.GetEvacuationId(), of(e), count(e.GetPlan().GetSlots(), "slot"), when(e.GetStartedAt()), e.GetWho())
			if err := change.confirm(cmd, question, args[0]); err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.UndoEvacuation, &topologyv1.UndoEvacuationRequest{EvacuationId: e.GetEvacuationId(), Cause: cause})
			if err != nil {
				return err
			}
			return o.follow(cmd, p, resp.GetUndo(), wait, f.timeout)
		},
	}
	f.add(cmd)
	change.causeFlags.add(cmd)
	change.addYes(cmd)
	cmd.Flags().BoolVar(&wait, "wait", true, "wait for its end, and report")
	return cmd
}

// maxMoves that are looked through for the newest of a cell: as many as the control plane lists.
const maxMoves = 500

// undoable move that is named by its id, or by a cell or region: then the newest that is done and not undone.
func undoable(ctx context.Context, p *plane, name string) (*topologyv1.Evacuation, error) {
	resp, err := tell(ctx, p, mapService.ListEvacuations, &topologyv1.ListEvacuationsRequest{Limit: maxMoves})
	if err != nil {
		return nil, err
	}
	for _, e := range resp.GetEvacuations() {
		if e.GetEvacuationId() == name {
			return e, nil
		}
	}
	for _, e := range resp.GetEvacuations() {
		isUndo := e.GetKind() == topologyv1.EvacuationKind_EVACUATION_KIND_UNDO
		if slices.Contains(e.GetPlan().GetCells(), name) && e.GetState() == topologyv1.EvacuationState_EVACUATION_STATE_DONE && e.GetUndoneById() == "" && !isUndo {
			return e, nil
		}
	}
	return nil, fmt.Errorf("no move is called %q, and none of a cell of that name is done and not undone; `cellctl evacuate list` has them", name)
}

func moveKind(e *topologyv1.Evacuation) string     { return word(e.GetKind(), "EVACUATION_KIND_") }
func moveState(e *topologyv1.Evacuation) string    { return word(e.GetState(), "EVACUATION_STATE_") }
func of(e *topologyv1.Evacuation) string           { return orDash(strings.Join(e.GetPlan().GetCells(), ",")) }
func seconds(d time.Duration) string               { return fmt.Sprintf("%.3f s", d.Seconds()) }
func lastOldWrite(e *topologyv1.Evacuation) string { return seconds(e.GetLastOldWrite().AsDuration()) }

// took the whole move; a dash while it is under way.
func took(e *topologyv1.Evacuation) string {
	if e.GetEndedAt() == nil {
		return "-"
	}
	return seconds(e.GetEndedAt().AsTime().Sub(e.GetStartedAt().AsTime()))
}
