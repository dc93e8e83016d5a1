package opening

import (
	"context"
	"log/slog"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/recommendation"
	"github.com/cellar-commerce/cellar/services/review"
	"github.com/cellar-commerce/cellar/services/storefront"
)

// Rebuilt tells which pages' rows were made anew.
type Rebuilt struct {
	Regions  []string `json:"regions"`
	Products int      `json:"products"`
	Seconds  float64  `json:"seconds"`
}

// pagesPage of products is read at once.
const pagesPage = 500

// Pages makes the row of every product's page anew, in the regions.
func Pages(ctx context.Context, databaseURL string, regions ...ident.Region) (r Rebuilt, err error) {
	global, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Global, MaxConns: 2, PointPlans: true, ApplicationName: "cellctl pages"})
	if err != nil {
		return r, err
	}
	defer global.Close()
	regional, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Regional, MaxConns: 2, PointPlans: true, ApplicationName: "cellctl pages"})
	if err != nil {
		return r, err
	}
	defer regional.Close()
	return rebuild(ctx, global, regional, regions)
}

func rebuild(ctx context.Context, global, regional *sqldb.DB, regions []ident.Region) (r Rebuilt, err error) {
	begun := time.Now()
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
