package cellctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

func (o *options) automation() *cobra.Command {
	var f planeFlags
	cmd := &cobra.Command{
		Use: "automation", Short: "See what the control plane does by itself, and stop it",
		Long: "See what the control plane does by itself, and stop it. It evacuates a cell that fails, within its guard rails. The lever stops\n" +
			"all of that at once; what is under way goes on, and commands work as ever.\n\n" + exitHelp,
	}
	f.add(cmd)
	cmd.AddCommand(o.automationShow(&f), o.lever(&f, "off", false, "Stop all automatic evacuations"), o.lever(&f, "on", true, "Allow automatic evacuations"))
	return cmd
}

func (o *options) automationShow(f *planeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the lever, and what the control plane makes of each cell", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.GetAutomation, &topologyv1.GetAutomationRequest{})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp, func(out io.Writer) error { return showAutomation(out, resp) })
		},
	}
}

// lever in words.
func leverText(a *topologyv1.GetAutomationResponse) string {
	if a.GetEnabled() {
		return "on"
	}
	return "off"
}

func showAutomation(out io.Writer, a *topologyv1.GetAutomationResponse) error {
	lines := []string{
		tabbed("automation", fmt.Sprintf("%s since %s, by %s: %s", leverText(a), when(a.GetChangedAt()), orDash(a.GetWho()), orDash(a.GetReason()))),
		tabbed("leader", orDash(a.GetLeader())), "", "CELL\tFAILS FOR ROUTERS\tPROBE\tFAILING FOR\tVERDICT",
	}
	for _, h := range a.GetCells() {
		probe, failing := "fails", "-"
		if h.GetProbeHealthy() {
			probe = "well"
		}
		if h.GetFailingSince() != nil {
			failing = age(h.GetFailingSince())
		}
		lines = append(lines, tabbed(h.GetCellId(), fmt.Sprintf("%d of %d", h.GetFailingReporters(), h.GetReporters()), probe, failing, orDash(h.GetVerdict())))
	}
	lines = append(lines, "")
	return columns(out, append(lines, routerLines(a.GetRouters())...)...)
}

// routerLines of those who report: routers and cells.
func routerLines(all []*topologyv1.RouterHealth) []string {
	lines := []string{"REPORTER\tREGION\tMAP\tLAST HEARD"}
	for _, r := range all {
		lines = append(lines, tabbed(r.GetReporter(), r.GetRegion(), r.GetMapVersion(), age(r.GetReportedAt())+" ago"))
	}
	return lines
}

func (o *options) lever(f *planeFlags, name string, enabled bool, short string) *cobra.Command {
	var cause causeFlags
	cmd := &cobra.Command{
		Use: name + " --reason WHY", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.SetAutomation, &topologyv1.SetAutomationRequest{Enabled: enabled, Cause: c})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "automation is %s\n", name)
				return err
			})
		},
	}
	cause.add(cmd)
	return cmd
}
