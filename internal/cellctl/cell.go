package cellctl

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

func (o *options) cell() *cobra.Command {
	var f planeFlags
	cmd := &cobra.Command{
		Use: "cell", Short: "See the cells, add some, weigh them, set them apart, share a ring anew",
		Long: "See the cells, add some, weigh them, set them apart, and share a region's ring among them anew.\n\n" + exitHelp,
	}
	f.add(cmd)
	cmd.AddCommand(o.cellList(&f), o.cellAdd(&f), o.cellWeight(&f), o.cellQuarantine(&f), o.cellSetState(&f), o.cellRebalance(&f))
	return cmd
}

// cellState in a word, and back.
func cellState(s topologyv1.CellState) string { return word(s, "CELL_STATE_") }

// cellStates in words.
func cellStates() (words []string) {
	for n := range len(topologyv1.CellState_name) {
		if s := topologyv1.CellState(n); s != topologyv1.CellState_CELL_STATE_UNSPECIFIED {
			words = append(words, cellState(s))
		}
	}
	return words
}

// perSecond of requests; a dash when nobody has said.
func perSecond(n float64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + "/s"
}

// fleetReport is what is known of the cells.
type fleetReport struct {
	m      *topologyv1.Map
	health *topologyv1.GetAutomationResponse
}

// healthOf a cell; an empty one when nothing is known.
func (r *fleetReport) healthOf(id string) *topologyv1.CellHealth {
	for _, h := range r.health.GetCells() {
		if h.GetCellId() == id {
			return h
		}
	}
	return &topologyv1.CellHealth{CellId: id}
}

// cellLines of the table of cells.
func (r *fleetReport) cellLines() []string {
	lines := []string{"CELL\tREGION\tSTATE\tWEIGHT\tSLOTS\tLOAD\tCAPACITY\tSERVES\tFAILING FOR\tWHAT THE CONTROL PLANE MAKES OF IT"}
	for _, c := range r.m.GetCells() {
		h := r.healthOf(c.GetCellId())
		serves := "no"
		if h.GetProbeHealthy() {
			serves = "yes"
		}
		if h.GetReporters() > 0 {
			serves += fmt.Sprintf(", for %d of %d routers", h.GetReporters()-h.GetFailingReporters(), h.GetReporters())
		}
		failing := "-"
		if h.GetFailingSince() != nil {
			failing = age(h.GetFailingSince())
		}
		lines = append(lines, tabbed(c.GetCellId(), c.GetRegion(), cellState(c.GetState()), c.GetWeight(), c.GetSlots(), perSecond(h.GetLoad()),
			perSecond(float64(c.GetCapacity())), serves, failing, orDash(h.GetVerdict())))
	}
	return lines
}

func (o *options) cellList(f *planeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the cells: state, slots, load, health", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			r := &fleetReport{}
			if r.m, err = newestMap(cmd.Context(), p); err != nil {
				return err
			}
			if r.health, err = tell(cmd.Context(), p, mapService.GetAutomation, &topologyv1.GetAutomationRequest{}); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raws(r.m.GetCells()), func(out io.Writer) error { return columns(out, r.cellLines()...) })
		},
	}
}

// changed prints the cell as the new map has it.
func (o *options) changed(cmd *cobra.Command, m *topologyv1.Map, id string) error {
	for _, c := range m.GetCells() {
		if c.GetCellId() == id {
			return o.printMessage(cmd.OutOrStdout(), c, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s is %s with weight %d and %s, by map %d\n", id, cellState(c.GetState()), c.GetWeight(), count(c.GetSlots(), "slot"), m.GetVersion())
				return err
			})
		}
	}
	return fmt.Errorf("map %d has no cell %s", m.GetVersion(), id)
}

func (o *options) cellAdd(f *planeFlags) *cobra.Command {
	var cause causeFlags
	cell := &topologyv1.Cell{State: topologyv1.CellState_CELL_STATE_ACTIVE}
	cmd := &cobra.Command{
		Use: "add ID --region R --public ADDRESS --internal ADDRESS --admin ADDRESS --reason WHY", Short: "Add a cell to the map, without slots", Args: cobra.ExactArgs(1),
		Long: "Add a cell to the map. It owns nothing until `cellctl cell rebalance` gives it its share of its region's ring.\n\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			cell.CellId = args[0]
			for name, value := range map[string]string{
				"region": cell.GetRegion(), "public": cell.GetPublicAddress(), "internal": cell.GetInternalAddress(), "admin": cell.GetAdminAddress(),
			} {
				if value == "" {
					return usagef("--%s is required", name)
				}
			}
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.AddCell, &topologyv1.AddCellRequest{Cell: cell, Cause: c})
			if err != nil {
				return err
			}
			return o.changed(cmd, resp.GetMap(), args[0])
		},
	}
	cause.add(cmd)
	cmd.Flags().StringVar(&cell.Region, "region", "", "that it is in")
	cmd.Flags().StringVar(&cell.PublicAddress, "public", "", "address for routers, host:port")
	cmd.Flags().StringVar(&cell.InternalAddress, "internal", "", "address for other cells, host:port")
	cmd.Flags().StringVar(&cell.AdminAddress, "admin", "", "address for probes, host:port")
	cmd.Flags().Int32Var(&cell.Weight, "weight", 100, "share of the ring relative to the others', 0 to 10,000")
	cmd.Flags().Int32Var(&cell.Capacity, "capacity", 0, "requests a second that it can carry; 0 when nobody knows")
	return cmd
}

func (o *options) cellWeight(f *planeFlags) *cobra.Command {
	var cause causeFlags
	cmd := &cobra.Command{
		Use: "weight ID N --reason WHY", Short: "Set a cell's share of its ring, for the next rebalance", Args: cobra.ExactArgs(2),
		ValidArgsFunction: o.cellNames(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			weight, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || weight < 0 || weight > 10_000 {
				return usagef("a weight is 0 to 10,000, not %q", args[1])
			}
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.SetWeight, &topologyv1.SetWeightRequest{CellId: args[0], Weight: int32(weight), Cause: c})
			if err != nil {
				return err
			}
			return o.changed(cmd, resp.GetMap(), args[0])
		},
	}
	cause.add(cmd)
	return cmd
}

func (o *options) cellQuarantine(f *planeFlags) *cobra.Command {
	return o.stateChange(f, &cobra.Command{
		Use: "quarantine ID --reason WHY", Short: "Hold a cell apart that owns nothing: it is not asked, and gets nothing", Args: cobra.ExactArgs(1),
		Long: "Hold a cell apart for people to look at: it is not asked, and no move gives it anything. It must own nothing: evacuate it\n" +
			"first. Asks before it does so, unless --yes is given.\n\n" + exitHelp,
	}, func([]string) (topologyv1.CellState, error) { return topologyv1.CellState_CELL_STATE_QUARANTINED, nil })
}

func (o *options) cellSetState(f *planeFlags) *cobra.Command {
	return o.stateChange(f, &cobra.Command{
		Use: "state ID STATE --reason WHY", Short: "Set the state of a cell: " + strings.Join(cellStates(), ", "), Args: cobra.ExactArgs(2),
		Long: "Set the state of a cell: " + strings.Join(cellStates(), ", ") + ". A cell that owns slots can only be in a state in which it serves:\n" +
			"`cellctl evacuate` moves its slots away, and back. Asks before it does so, unless --yes is given.\n\n" + exitHelp,
	}, func(args []string) (topologyv1.CellState, error) {
		n, ok := topologyv1.CellState_value["CELL_STATE_"+strings.ToUpper(args[1])]
		if !ok || n == 0 {
			return 0, usagef("a state is one of %s, not %q", strings.Join(cellStates(), ", "), args[1])
		}
		return topologyv1.CellState(n), nil
	})
}

func (o *options) stateChange(f *planeFlags, cmd *cobra.Command, wanted func([]string) (topologyv1.CellState, error)) *cobra.Command {
	var change planned
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 1 && cmd.Name() == "state" {
			return cellStates(), cobra.ShellCompDirectiveNoFileComp
		}
		return o.cellNames(f)(cmd, args, typed)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		state, err := wanted(args)
		if err != nil {
			return err
		}
		if _, err := change.cause(0); err != nil {
			return err
		}
		p, err := o.plane(cmd.Context(), f)
		if err != nil {
			return err
		}
		m, err := newestMap(cmd.Context(), p)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(m.GetCells(), func(c *topologyv1.Cell) bool { return c.GetCellId() == args[0] })
		if at < 0 {
			return fmt.Errorf("the map has no cell %q", args[0])
		}
		question := fmt.Sprintf("%s is %s and owns %s. Make it %s?", args[0], cellState(m.GetCells()[at].GetState()), count(m.GetCells()[at].GetSlots(), "slot"), cellState(state))
		if err := change.confirm(cmd, question, args[0]); err != nil {
			return err
		}
		cause, err := change.cause(m.GetVersion()) // what was confirmed is what was seen
		if err != nil {
			return err
		}
		resp, err := tell(cmd.Context(), p, mapService.SetState, &topologyv1.SetStateRequest{CellId: args[0], State: state, Cause: cause})
		if err != nil {
			return err
		}
		return o.changed(cmd, resp.GetMap(), args[0])
	}
	change.causeFlags.add(cmd)
	change.addYes(cmd)
	return cmd
}

func (o *options) cellRebalance(f *planeFlags) *cobra.Command {
	var m moveFlags
	cmd := &cobra.Command{
		Use: "rebalance REGION --reason WHY", Short: "Share a region's ring among its cells by their weights", Args: cobra.ExactArgs(1),
		Long: "Share a region's ring among its cells by their weights, moving as few slots as possible. Shows the plan and asks first,\n" +
			"unless --yes is given.\n\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.move(cmd, f, &m, move{
				name: args[0], question: "Rebalance " + args[0] + "?",
				plan: func(p *plane) (*topologyv1.Plan, error) {
					resp, err := tell(cmd.Context(), p, mapService.PlanRebalance, &topologyv1.PlanRebalanceRequest{Region: args[0]})
					return resp.GetPlan(), err
				},
				start: func(p *plane, hash string, cause *topologyv1.Cause) (*topologyv1.Evacuation, error) {
					resp, err := tell(cmd.Context(), p, mapService.StartRebalance, &topologyv1.StartRebalanceRequest{
						Region: args[0], PlanHash: hash, Cause: cause, OverCapacity: m.overCapacity,
					})
					return resp.GetMove(), err
				},
			})
		},
	}
	m.add(cmd)
	return cmd
}
