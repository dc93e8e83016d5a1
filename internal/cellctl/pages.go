package cellctl

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/recommendation"
	"github.com/cellar-commerce/cellar/services/review"
	"github.com/cellar-commerce/cellar/services/storefront"
)

func (o *options) pages() *cobra.Command {
	cmd := &cobra.Command{Use: "pages", Short: "The rows that products' pages are read from"}
	cmd.AddCommand(o.pagesRebuild())
	return cmd
}

// rebuilt tells what was made anew.
type rebuilt struct {
	Regions  []string `json:"regions"`
	Products int      `json:"products"`
	Seconds  float64  `json:"seconds"`
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
			report, err := rebuildPages(cmd.Context(), info.DatabaseURL, regions)
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

// pagesPage of products is read at once.
const pagesPage = 500

func rebuildPages(ctx context.Context, url string, regions []ident.Region) (r rebuilt, err error) {
	begun := time.Now()
	global, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Global, MaxConns: 2, PointPlans: true, ApplicationName: "cellctl pages"})
	if err != nil {
		return r, err
	}
	defer global.Close()
	regional, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Regional, MaxConns: 2, PointPlans: true, ApplicationName: "cellctl pages"})
	if err != nil {
		return r, err
	}
	defer regional.Close()
	products := catalog.New(catalog.Deps{DB: global, Clock: clock.System{}})
	var all []*storefront.Pages
	for _, region := range regions {
		r.Regions = append(r.Regions, string(region))
		all = append(all, storefront.NewPages(storefront.PagesDeps{
			DB: regional, Region: region, Catalog: products, Reviews: review.New(review.Deps{Regional: regional, Region: region, Clock: clock.System{}}),
			Recommendations: recommendation.New(recommendation.Deps{DB: global}), Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		}))
	}
	after := ""
	for {
		page, err := products.ScanProducts(ctx, after, pagesPage)
		if err != nil || len(page) == 0 {
			r.Seconds = time.Since(begun).Seconds()
			return r, err
		}
		skus := make([]string, len(page))
		for i, p := range page {
			skus[i] = p.GetSku()
		}
		for _, pages := range all {
			if err := pages.Rebuild(ctx, skus...); err != nil {
				return r, err
			}
		}
		after, r.Products = skus[len(skus)-1], r.Products+len(skus)
	}
}
