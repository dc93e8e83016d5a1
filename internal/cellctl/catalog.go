package cellctl

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
)

func (o *options) catalog() *cobra.Command {
	cmd := &cobra.Command{Use: "catalog", Short: "Take a product out of sale, or put it back"}
	cmd.AddCommand(o.catalogMark("withdraw", "Take a product out of sale, with its offers, until it is restored",
		"Take a product out of sale, and with it what sellers offer of it. At once no cart with it in it is ordered; within seconds its\n"+
			"page says that it is no longer sold, and lists leave it out. What was ordered before goes on. An import leaves it withdrawn.\n"+
			"Doing it again changes nothing.",
		func(ctx context.Context, c catalogv1connect.CatalogServiceClient, sku string) (*catalogv1.Product, error) {
			resp, err := c.WithdrawProduct(ctx, &catalogv1.WithdrawProductRequest{Sku: sku})
			return resp.GetProduct(), err
		}))
	cmd.AddCommand(o.catalogMark("restore", "Put what is withdrawn up for sale again",
		"Put what is withdrawn up for sale again, as the last import has it. Doing it again changes nothing.",
		func(ctx context.Context, c catalogv1connect.CatalogServiceClient, sku string) (*catalogv1.Product, error) {
			resp, err := c.RestoreProduct(ctx, &catalogv1.RestoreProductRequest{Sku: sku})
			return resp.GetProduct(), err
		}))
	return cmd
}

// catalogMark is the command that withdraws, or that restores.
func (o *options) catalogMark(verb, short, long string, mark func(context.Context, catalogv1connect.CatalogServiceClient, string) (*catalogv1.Product, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " SKU", Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := cellsOf(cmd.Context(), o, catalogv1connect.NewCatalogServiceClient)
			if err != nil {
				return err
			}
			var p *catalogv1.Product
			_, err = all.inTurn(cmd.Context(), func(ctx context.Context, c catalogv1connect.CatalogServiceClient) (err error) {
				p, err = mark(ctx, c, args[0])
				return err
			})
			if err != nil {
				return explained(err)
			}
			return o.print(cmd.OutOrStdout(), raw(p), func(out io.Writer) error {
				_, err := fmt.Fprintln(out, saleOf(p))
				return err
			})
		},
	}
}

// saleOf a product, for the operator: whether it is sold.
func saleOf(p *catalogv1.Product) string {
	state := "for sale"
	if at := p.GetWithdrawnAt(); at != nil {
		state = "withdrawn since " + at.AsTime().Format(time.RFC3339)
	}
	text := fmt.Sprintf("%s, %s, is %s (version %d)", p.GetSku(), printable(p.GetTitle()), state, p.GetVersion())
	if of := p.GetOfferOf(); of != "" {
		text += ", an offer of " + of
	}
	return text
}
