package cellctl

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/opening"
)

func (o *options) pages() *cobra.Command {
	cmd := &cobra.Command{Use: "pages", Short: "The rows that products' pages are read from"}
	cmd.AddCommand(o.pagesRebuild())
	return cmd
}

func (o *options) pagesRebuild() *cobra.Command {
	var region string
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Make the row of every product's page anew", Args: cobra.NoArgs,
		Long: "Make the row of every product's page anew, in all regions or in one. Cells make rows by themselves when what is in them\n" +
			"changes, and when a page without one is looked at: this is for after an import without events, a training of what is\n" +
			"recommended, or a release that shows more. It may run beside everything, and again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			regions := ident.Regions()
			if region != "" {
				if !slices.Contains(regions, ident.Region(region)) {
					return usagef("--region must be one of %v", regions)
				}
				regions = []ident.Region{ident.Region(region)}
			}
			info, err := o.running(cmd.Context())
			if err != nil {
				return err
			}
			report, err := opening.Pages(cmd.Context(), info.DatabaseURL, regions...)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), report, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%d products' pages in %v, %.1f s\n", report.Products, report.Regions, report.Seconds)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "only this one (default: all)")
	return cmd
}
