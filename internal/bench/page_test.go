package bench

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/recommendation"
	"github.com/cellar-commerce/cellar/services/review"
	"github.com/cellar-commerce/cellar/services/search"
	"github.com/cellar-commerce/cellar/services/storefront"
)

// strangers have no session, and get none.
type strangers struct{}

var _ storefront.Sessions = strangers{}

func (strangers) Guard(next http.Handler) http.Handler                             { return next }
func (strangers) Guest(ctx context.Context, _ http.ResponseWriter) context.Context { return ctx }
func (strangers) WrongCell(http.ResponseWriter, *http.Request, error)              {}
func (strangers) GiveSession(http.ResponseWriter, string, time.Time)               {}
func (strangers) SignOut(http.ResponseWriter)                                      {}

// noPromotions are in force.
type noPromotions struct {
	checkoutv1connect.CheckoutServiceClient
}

func (noPromotions) ListPromotions(context.Context, *checkoutv1.ListPromotionsRequest) (*checkoutv1.ListPromotionsResponse, error) {
	return &checkoutv1.ListPromotionsResponse{}, nil
}

// pageWorld is a catalogue in a real database, and the shop's pages of it as a cell serves them.
func pageWorld(b *testing.B) (pages *storefront.Service, rows *storefront.Pages, products []*catalogv1.Product) {
	b.Helper()
	asCells := func(c *sqldb.Config) { c.MaxConns, c.PointPlans = serviceConns, true }
	global, regional, log := sqldbtest.New(b, sqldb.Global, asCells), sqldbtest.New(b, sqldb.Regional, asCells), slog.New(slog.DiscardHandler)
	products = slices.Collect(seed.Products(pagesProducts, pagesSeed))
	goods := catalog.New(catalog.Deps{DB: global, Clock: clock.System{}, PrimaryRegion: home, Regions: ident.Regions()})
	if _, err := goods.Import(b.Context(), products, catalog.ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	engine, err := search.NewBleve()
	if err != nil {
		b.Fatal(err)
	}
	finder := search.New(search.Deps{Engine: engine, Source: goods, Log: log})
	if err := finder.Build(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, db := range []*sqldb.DB{global, regional} {
		if err := db.ExecText(b.Context(), "ANALYZE"); err != nil {
			b.Fatal(err)
		}
	}
	opinions := review.New(review.Deps{Regional: regional, Clock: clock.System{}, Region: home, Regions: ident.Regions()})
	others := recommendation.New(recommendation.Deps{DB: global})
	rows = storefront.NewPages(storefront.PagesDeps{DB: regional, Region: home, Catalog: goods, Reviews: opinions, Recommendations: others, Clock: clock.System{}, Log: log})
	mux, options := http.NewServeMux(), connect.WithHandlerOptions(rpc.HandlerOptions(log, telemetry.NewMetrics(nil))...)
	mux.Handle(catalogv1connect.NewCatalogServiceHandler(goods, options))
	mux.Handle(searchv1connect.NewSearchServiceHandler(finder, options))
	mux.Handle(reviewv1connect.NewReviewServiceHandler(opinions, options))
	mux.Handle(recommendationv1connect.NewRecommendationServiceHandler(others, options))
	const here = "http://cell"
	client, asking := &http.Client{Transport: rpc.Loopback(mux)}, connect.WithClientOptions(rpc.ClientOptions()...)
	pages, err = storefront.New(storefront.Deps{
		Pages: rows, Sessions: strangers{}, Checkout: noPromotions{}, Clock: clock.System{}, Log: log,
		Catalog: catalogv1connect.NewCatalogServiceClient(client, here, asking), Search: searchv1connect.NewSearchServiceClient(client, here, asking),
		Reviews: reviewv1connect.NewReviewServiceClient(client, here, asking), Recommendations: recommendationv1connect.NewRecommendationServiceClient(client, here, asking),
	})
	if err != nil {
		b.Fatal(err)
	}
	return pages, rows, products
}

// BenchmarkProductPage draws product pages for strangers, with a real database: products without a row, each as the first who
// looks at it gets it; such with a row; and one again and again. Between two looks at a product its page is forgotten.
func BenchmarkProductPage(b *testing.B) {
	pages, rows, products := pageWorld(b)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(products), func(i, j int) { products[i], products[j] = products[j], products[i] })
	next, skus := 0, []string{}
	each := func() string {
		next++
		sku := products[next%len(products)].GetSku()
		forget(b, pages, sku)
		return sku
	}
	b.Run("composed", func(b *testing.B) { benchPage(b, pages, each, nil) })
	for _, p := range products {
		skus = append(skus, p.GetSku())
	}
	begun, used := time.Now(), cpu(b)
	if err := rows.Rebuild(b.Context(), skus...); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rows in %s, %s of CPU", len(skus), time.Since(begun), cpu(b)-used)
	b.Run("row", func(b *testing.B) { benchPage(b, pages, each, nil) })
	again := func() string { return skus[0] }
	b.Run("in memory", func(b *testing.B) { benchPage(b, pages, again, nil) })
	b.Run("in memory, with a cart", func(b *testing.B) { benchPage(b, pages, again, &http.Cookie{Name: "cellar_units", Value: "2"}) })
}

// BenchmarkFrontPage draws the front page: for strangers, and for one who has looked at two products.
func BenchmarkFrontPage(b *testing.B) {
	pages, _, products := pageWorld(b)
	seen := &http.Cookie{Name: "cellar_seen", Value: products[0].GetSku() + "%7C" + products[1].GetSku()}
	b.Run("stranger", func(b *testing.B) { benchDrawing(b, pages, func() string { return "/" }, nil) })
	b.Run("known", func(b *testing.B) { benchDrawing(b, pages, func() string { return "/" }, seen) })
}

func forget(b *testing.B, pages *storefront.Service, sku string) {
	payload, err := proto.Marshal(&storefrontv1.PagesRebuilt{Skus: []string{sku}})
	if err == nil {
		err = pages.Rebuilt(b.Context(), payload)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// benchPage of products, with a cookie unless it is nil.
func benchPage(b *testing.B, pages *storefront.Service, sku func() string, cookie *http.Cookie) {
	benchDrawing(b, pages, func() string { return "/p/" + sku() }, cookie)
}

func benchDrawing(b *testing.B, pages *storefront.Service, path func() string, cookie *http.Cookie) {
	n := 0
	begun, used := time.Now(), cpu(b)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path(), nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		pages.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			body, _ := io.ReadAll(w.Body)
			b.Fatalf("the page answers %d: %s", w.Code, body)
		}
		n++
	}
	b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "pages/s")
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(n), "cpu-µs/page")
}
