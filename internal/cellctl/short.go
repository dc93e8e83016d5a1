package cellctl

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1/fulfillmentv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func (o *options) stockShort() *cobra.Command {
	return &cobra.Command{
		Use: "short FC ORDER LINE=FOUND…", Short: "Report that a parcel's units are not on the shelf", Args: cobra.MinimumNArgs(3),
		Long: "Report how many units of a line were found when an FC picked its parcel of an order, for example 1=0. What is missing\n" +
			"leaves the books, the rest of the parcel goes on, and what is missing is sent from elsewhere or paid back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &fulfillmentv1.ReportShortPickRequest{FcId: args[0], OrderId: args[1]}
			for _, arg := range args[2:] {
				l, err := parseFound(arg)
				if err != nil {
					return err
				}
				req.Lines = append(req.Lines, l)
			}
			all, err := cellsOf(cmd.Context(), o, fulfillmentv1connect.NewFulfillmentServiceClient)
			if err != nil {
				return err
			}
			resp, err := reportShort(cmd.Context(), all, req)
			if err != nil {
				return said(err)
			}
			return o.printMessage(cmd.OutOrStdout(), resp.GetShortPick(), func(out io.Writer) error { return shortLines(out, resp) })
		},
	}
}

// parseFound units of a line, "1=0".
func parseFound(arg string) (*fulfillmentv1.FoundLine, error) {
	line, found, _ := strings.Cut(arg, "=")
	n, err := strconv.ParseInt(line, 10, 32)
	units, err2 := strconv.ParseInt(found, 10, 64)
	if err != nil || err2 != nil {
		return nil, usagef("%q must be a line and how many units of it were found, for example 1=0", arg)
	}
	return &fulfillmentv1.FoundLine{Line: int32(n), Found: units}, nil
}

// reportShort to a cell of the FC's region: the others say that it is not theirs.
func reportShort(ctx context.Context, all *cells[fulfillmentv1connect.FulfillmentServiceClient], req *fulfillmentv1.ReportShortPickRequest) (resp *fulfillmentv1.ReportShortPickResponse, err error) {
	for _, client := range all.clients {
		asked, cancel := context.WithTimeout(ctx, cellTimeout)
		resp, err = client.ReportShortPick(asked, req)
		cancel()
		if elsewhere := problem.Is(err, "FOREIGN_FC") || problem.KindOf(err) == problem.Unavailable; !elsewhere || ctx.Err() != nil {
			return resp, err
		}
	}
	return resp, err
}

func shortLines(out io.Writer, resp *fulfillmentv1.ReportShortPickResponse) error {
	if len(resp.GetShortPick().GetLines()) == 0 {
		_, err := fmt.Fprintln(out, "nothing is missing that was not reported before")
		return err
	}
	for _, l := range resp.GetShortPick().GetLines() {
		if _, err := fmt.Fprintf(out, "%d of %s, line %d, leave the books of %s\n", l.GetQuantity(), l.GetSku(), l.GetLine(), resp.GetShortPick().GetFcId()); err != nil {
			return err
		}
	}
	return nil
}
