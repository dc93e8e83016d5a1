package cellctl

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

func (o *options) customer() *cobra.Command {
	var f planeFlags
	cmd := &cobra.Command{
		Use: "customer", Short: "See which cell serves a customer, and have another do it",
		Long: "See which cell serves a customer, and have another do it for a while. Customers and guests are named by their ids.\n\n" + exitHelp,
	}
	f.add(cmd)
	cmd.AddCommand(o.customerWhere(&f), o.customerPin(&f), o.customerUnpin(&f))
	return cmd
}

func (o *options) customerWhere(f *planeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "where ID", Short: "Show which cell serves a customer, and why that one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.GetCustomer, &topologyv1.GetCustomerRequest{CustomerId: args[0]})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp, func(out io.Writer) error { return showCustomer(out, args[0], resp) })
		},
	}
}

func showCustomer(out io.Writer, id string, resp *topologyv1.GetCustomerResponse) error {
	why := fmt.Sprintf("it owns the slot, under epoch %d", resp.GetEpoch())
	if v := resp.GetOverride(); v != nil {
		why = fmt.Sprintf("an override until %s, by %s: %s", when(v.GetExpiresAt()), orDash(v.GetWho()), orDash(v.GetReason()))
	}
	return columns(out, tabbed("customer", id), tabbed("ring", resp.GetRing()), tabbed("slot", fmt.Sprintf("%d, owned by %s", resp.GetSlot(), resp.GetSlotOwner())),
		tabbed("served by", resp.GetCellId()), tabbed("because", why))
}

func (o *options) customerPin(f *planeFlags) *cobra.Command {
	var cause causeFlags
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "pin ID CELL --reason WHY --expires 2h", Short: "Have a customer served by another cell for a while", Args: cobra.ExactArgs(2),
		Long: "Have a customer served by another cell than the owner of the slot, until that is taken back or expires. The slot gets a new\n" +
			"epoch, so that the cell before writes nothing more for this customer.\n\n" + exitHelp,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return o.completeCells(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			if expires == 0 {
				return usagef("--expires is required: after how long the customer goes back, for example 2h")
			}
			if err := checkExpiry(expires); err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.SetOverride, &topologyv1.SetOverrideRequest{
				CustomerId: args[0], CellId: args[1], Cause: c, ExpiresIn: durationpb.New(expires),
			})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp.GetOverride(), func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s is served by %s until %s\n", args[0], args[1], when(resp.GetOverride().GetExpiresAt()))
				return err
			})
		},
	}
	cause.add(cmd)
	cmd.Flags().DurationVar(&expires, "expires", 0, "after how long it ends by itself, a minute to 30 days; required")
	return cmd
}

// checkExpiry as the control plane does.
func checkExpiry(d time.Duration) error {
	if d < time.Minute || d > 30*24*time.Hour {
		return usagef("--expires must be a minute to 30 days, not %s", d)
	}
	return nil
}

func (o *options) customerUnpin(f *planeFlags) *cobra.Command {
	var cause causeFlags
	cmd := &cobra.Command{
		Use: "unpin ID --reason WHY", Short: "Have a customer served by the owner of the slot again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cause.cause(0)
			if err != nil {
				return err
			}
			p, err := o.plane(cmd.Context(), f)
			if err != nil {
				return err
			}
			resp, err := tell(cmd.Context(), p, mapService.RemoveOverride, &topologyv1.RemoveOverrideRequest{CustomerId: args[0], Cause: c})
			if err != nil {
				return err
			}
			return o.printMessage(cmd.OutOrStdout(), resp, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%s is served by the owner of the slot\n", args[0])
				return err
			})
		},
	}
	cause.add(cmd)
	return cmd
}
