package cellctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
)

// mapService is the control plane's client.
type mapService = topologyv1connect.TopologyServiceClient

func (o *options) maps() *cobra.Command {
	var f planeFlags
	cmd := &cobra.Command{
		Use: "map", Short: "See who owns which customers, how that came about, and take it back",
		Long: "See who owns which customers, how that came about, and take it back. A map is one version of that, signed by the control\n" +
			"plane; routers and cells work from the newest they have.\n\n" + exitHelp,
	}
	f.add(cmd)
	cmd.AddCommand(o.mapShow(&f), o.mapDiff(&f), o.mapHistory(&f), o.mapChanges(&f), o.mapRevert(&f))
	return cmd
}

func (o *options) mapShow(f *planeFlags) *cobra.Command {
	var version uint64
	cmd := &cobra.Command{
		Use: "show", Short: "Show the newest map, or that of a version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.GetMap, &topologyv1.GetMapRequest{Version: version})
			if err != nil {
				return err
			}
			shown := &topologyv1.GetMapResponse{Map: resp.GetMap(), Made: resp.GetMade()} // the signed bytes are for routers
			return o.printMessage(cmd.OutOrStdout(), shown, func(out io.Writer) error { return showMap(out, shown) })
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "of the map; 0 for the newest")
	return cmd
}

func showMap(out io.Writer, resp *topologyv1.GetMapResponse) error {
	m, made := resp.GetMap(), resp.GetMade()
	if _, err := fmt.Fprintf(out, "map %d, made %s by %s: %s\n\n", m.GetVersion(), when(made.GetMadeAt()), orDash(made.GetWho()), orDash(made.GetReason())); err != nil {
		return err
	}
	lines := []string{"CELL\tREGION\tSTATE\tWEIGHT\tSLOTS\tCAPACITY\tPUBLIC\tINTERNAL\tADMIN"}
	for _, c := range m.GetCells() {
		lines = append(lines, tabbed(c.GetCellId(), c.GetRegion(), cellState(c.GetState()), c.GetWeight(), c.GetSlots(), perSecond(float64(c.GetCapacity())),
			c.GetPublicAddress(), c.GetInternalAddress(), c.GetAdminAddress()))
	}
	lines = append(lines, "", "RING\tOWNER\tSLOTS\tRUNS\tEPOCHS\tFIRST")
	for _, r := range m.GetRings() {
		lines = append(lines, ringLines(r)...)
	}
	if len(m.GetOverrides()) > 0 {
		lines = append(lines, "", "CUSTOMER\tSERVED BY\tUNTIL\tWHO\tREASON")
	}
	for _, v := range m.GetOverrides() {
		lines = append(lines, tabbed(v.GetCustomerId(), v.GetCellId(), when(v.GetExpiresAt()), orDash(v.GetWho()), orDash(v.GetReason())))
	}
	return columns(out, lines...)
}

// ringLines tell what each owner has of a ring: few lines, however much has been moved.
func ringLines(r *topologyv1.Ring) (lines []string) {
	type share struct {
		slots, runs int32
		least, most uint64
		first       *topologyv1.SlotRun
	}
	by := map[string]*share{}
	var owners []string
	for _, run := range r.GetRuns() {
		s := by[run.GetOwner()]
		if s == nil {
			s = &share{least: run.GetEpoch(), first: run}
			by[run.GetOwner()] = s
			owners = append(owners, run.GetOwner())
		}
		s.slots += run.GetToSlot() - run.GetFromSlot() + 1
		s.runs++
		s.least, s.most = min(s.least, run.GetEpoch()), max(s.most, run.GetEpoch())
	}
	slices.Sort(owners)
	for _, owner := range owners {
		s := by[owner]
		epochs := strconv.FormatUint(s.least, 10)
		if s.most != s.least {
			epochs += "–" + strconv.FormatUint(s.most, 10)
		}
		lines = append(lines, tabbed(r.GetRegion(), owner, s.slots, s.runs, epochs, fmt.Sprintf("%d–%d", s.first.GetFromSlot(), s.first.GetToSlot())))
	}
	return lines
}

func (o *options) mapDiff(f *planeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "diff [FROM [TO]]", Short: "Show what changed from one map to another", Args: cobra.MaximumNArgs(2),
		Long: "Show what changed from one version of the map to another: by default from the last but one to the newest, and from FROM\n" +
			"to the newest when only that is named.",
		RunE: func(cmd *cobra.Command, args []string) error {
			versions, err := parseVersions(args)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			from, to, err := diffOf(cmd.Context(), p, versions)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.DiffMaps, &topologyv1.DiffMapsRequest{FromVersion: from, ToVersion: to})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp, func(out io.Writer) error { return showChanges(out, resp.GetChanges()) })
		},
	}
}

func parseVersions(args []string) (versions []uint64, err error) {
	for _, a := range args {
		v, err := strconv.ParseUint(a, 10, 64)
		if err != nil || v == 0 {
			return nil, usagef("a version of the map is a number, not %q; `cellctl map history` lists them", a)
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// diffOf what versions are to be compared; 0 is the newest.
func diffOf(ctx context.Context, p *plane, named []uint64) (from, to uint64, err error) {
	switch len(named) {
	case 2:
		return named[0], named[1], nil
	case 1:
		return named[0], 0, nil
	}
	resp, err := tell(ctx, p, mapService.ListMaps, &topologyv1.ListMapsRequest{Limit: 2})
	if err != nil {
		return 0, 0, err
	}
	if len(resp.GetVersions()) < 2 {
		return 0, 0, fmt.Errorf("there is no earlier map to compare with")
	}
	return resp.GetVersions()[1].GetVersion(), resp.GetVersions()[0].GetVersion(), nil
}

func showChanges(out io.Writer, all []*topologyv1.MapChange) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing changed")
		return err
	}
	for _, c := range all {
		if _, err := fmt.Fprintln(out, c.GetText()); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) mapHistory(f *planeFlags) *cobra.Command {
	var limit int32
	cmd := &cobra.Command{
		Use: "history", Short: "List the versions of the map, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.ListMaps, &topologyv1.ListMapsRequest{Limit: limit})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raws(resp.GetVersions()), func(out io.Writer) error {
				lines := []string{"VERSION\tMADE\tWHO\tREASON"}
				for _, v := range resp.GetVersions() {
					lines = append(lines, tabbed(v.GetVersion(), when(v.GetMadeAt()), orDash(v.GetWho()), orDash(v.GetReason())))
				}
				return columns(out, lines...)
			})
		},
	}
	cmd.Flags().Int32Var(&limit, "limit", 20, "how many at most, up to 500")
	return cmd
}

func (o *options) mapChanges(f *planeFlags) *cobra.Command {
	var limit int32
	cmd := &cobra.Command{
		Use: "changes", Short: "Show the audit trail: who changed what, and why, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.ListChanges, &topologyv1.ListChangesRequest{Limit: limit})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), raws(resp.GetChanges()), func(out io.Writer) error {
				lines := []string{"AT\tMAP\tWHAT\tOF\tWHO\tREASON"}
				for _, c := range resp.GetChanges() {
					lines = append(lines, tabbed(when(c.GetAt()), c.GetMapVersion(), c.GetAction(), c.GetSubject(), c.GetWho(), c.GetReason()))
				}
				return columns(out, lines...)
			})
		},
	}
	cmd.Flags().Int32Var(&limit, "limit", 20, "how many at most, up to 500")
	return cmd
}

func (o *options) mapRevert(f *planeFlags) *cobra.Command {
	change, wait := planned{}, true
	cmd := &cobra.Command{
		Use: "revert VERSION --reason WHY", Short: "Give every slot back to its owner in an earlier map", Args: cobra.ExactArgs(1),
		Long: "Give every slot back to its owner in an earlier map, under new epochs: a move like an evacuation, which `cellctl undo` takes\n" +
			"back. Shows what it changes and asks first, unless --yes is given.\n\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			versions, err := parseVersions(args)
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
			newest, err := newestMap(cmd.Context(), p)
			if err != nil {
				return err
			}
			diff, err := tell(cmd.Context(), p, mapService.DiffMaps, &topologyv1.DiffMapsRequest{FromVersion: newest.GetVersion(), ToVersion: versions[0]})
			if err != nil {
				return err
			}
			if err := showChanges(cmd.ErrOrStderr(), diff.GetChanges()); err != nil {
				return err
			}
			if err := change.confirm(cmd, fmt.Sprintf("Give the slots back as in map %d? Cells stay in the state they are in.", versions[0]), args[0]); err != nil {
				return err
			}
			cause, err := change.cause(newest.GetVersion())
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.RevertMap, &topologyv1.RevertMapRequest{Version: versions[0], Cause: cause})
			if err != nil {
				return err
			}
			return o.follow(cmd, p, resp.GetMove(), wait, f.timeout)
		},
	}
	change.causeFlags.add(cmd)
	change.addYes(cmd)
	cmd.Flags().BoolVar(&wait, "wait", true, "wait for its end, and report")
	return cmd
}

func newestMap(ctx context.Context, p *plane) (*topologyv1.Map, error) {
	resp, err := tell(ctx, p, mapService.GetMap, &topologyv1.GetMapRequest{})
	return resp.GetMap(), err
}
