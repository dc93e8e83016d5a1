package cellctl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1/fulfillmentv1connect"
)

// maxWaves of a region that are asked for.
const maxWaves = 1000

func (o *options) stockWaves() *cobra.Command {
	var fc string
	cmd := &cobra.Command{
		Use: "waves", Short: "List what fulfilment centres have still to pick, by the collection it leaves with", Args: cobra.NoArgs,
		Long: "List the waves of fulfilment centres: the parcels that each has still to pick or to send, by the carrier's collection\n" +
			"that they are to leave with, the next one first. One cell of each region is asked.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := cellsOf(cmd.Context(), o, fulfillmentv1connect.NewFulfillmentServiceClient)
			if err != nil {
				return err
			}
			waves, err := wavesOf(cmd.Context(), all, fc)
			if err != nil {
				return said(err)
			}
			return o.printMessage(cmd.OutOrStdout(), &fulfillmentv1.ListWavesResponse{Waves: waves}, func(out io.Writer) error { return waveTable(out, waves) })
		},
	}
	cmd.Flags().StringVar(&fc, "fc", "", "only of this fulfilment centre")
	return cmd
}

// wavesOf all regions. Cells of one region tell the same: each wave counts once.
func wavesOf(ctx context.Context, all *cells[fulfillmentv1connect.FulfillmentServiceClient], fc string) (waves []*fulfillmentv1.Wave, err error) {
	type key struct {
		fc string
		at int64
	}
	seen, answered := map[key]bool{}, false
	for _, client := range all.clients {
		asked, cancel := context.WithTimeout(ctx, cellTimeout)
		resp, failed := client.ListWaves(asked, &fulfillmentv1.ListWavesRequest{FcId: fc, Limit: maxWaves})
		cancel()
		if failed != nil {
			err = failed
			continue
		}
		answered = true
		for _, w := range resp.GetWaves() {
			if k := (key{w.GetFcId(), w.GetShipBy().AsTime().UnixMicro()}); !seen[k] {
				seen[k] = true
				waves = append(waves, w)
			}
		}
	}
	if answered {
		err = nil
	}
	slices.SortFunc(waves, func(a, b *fulfillmentv1.Wave) int {
		return cmp.Or(a.GetShipBy().AsTime().Compare(b.GetShipBy().AsTime()), cmp.Compare(a.GetFcId(), b.GetFcId()))
	})
	return waves, err
}

func waveTable(out io.Writer, waves []*fulfillmentv1.Wave) error {
	lines := []string{tabbed("FC", "COLLECTED", "PICKED FROM", "TO PICK", "SHORT", "PACKED")}
	for _, w := range waves {
		lines = append(lines, tabbed(w.GetFcId(), when(w.GetShipBy()), when(w.GetPickedFrom()), fmt.Sprint(w.GetRequested()), fmt.Sprint(w.GetShort()), fmt.Sprint(w.GetPacked())))
	}
	return columns(out, lines...)
}
