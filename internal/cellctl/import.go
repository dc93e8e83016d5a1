package cellctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/opening"
)

func (o *options) importFile() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Put the products of a JSON Lines file up for sale", Args: cobra.ExactArgs(1),
		Long: "Put the products of a JSON Lines file (plain or gzip) up for sale, with opening stock in the fulfilment centres.\n" +
			"A line is a product as the catalogue has it, or one with id, title, supplier, price in cents, and attr_* fields.\n" +
			"Products that differ in size, colour and the like only have the same \"family\", and \"variesBy\" names these attributes.\n" +
			"Another seller's offer of a product has \"offerOf\", \"seller\" and \"condition\". What is delivered free of charge has \"prime\": true.\n" +
			"Lines that are no product are refused and counted; the others are imported.",
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := o.running(cmd.Context())
			if err != nil {
				return err
			}
			opener, err := opening.New(cmd.Context(), info.DatabaseURL)
			if err != nil {
				return err
			}
			defer opener.Close()
			if _, err := opener.Centers(cmd.Context()); err != nil {
				return err
			}
			report, err := opener.File(cmd.Context(), args[0], opening.Options{Seed: defaultSeed, Announce: true})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), report, func(out io.Writer) error { return printImported(out, report) })
		},
	}
}

// printImported for people.
func printImported(out io.Writer, r opening.Imported) error {
	_, err := fmt.Fprintf(out, "%d products imported in %.1f s, %d lines refused\n", r.Products, r.Seconds, r.Refused)
	for _, e := range r.Examples {
		if err == nil {
			_, err = fmt.Fprintln(out, "  "+e)
		}
	}
	return err
}
