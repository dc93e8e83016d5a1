package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

// planners counts how orders are planned.
type planners struct{ asked, unasked atomic.Int64 }

func (p *planners) OrderPlanned(asked bool) {
	if asked {
		p.asked.Add(1)
	} else {
		p.unasked.Add(1)
	}
}
func (p *planners) SummaryAnswered(int, int) {}
func (p *planners) SummaryFellShort(bool)    {}

// planWorld is the stock of three regions in a real database, and the planner of the first.
func planWorld(t testing.TB, observe *planners) (s *fulfillment.Service, products []*catalogv1.Product) {
	t.Helper()
	global, regional, log := sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Regional, sqldbtest.WithMaxConns(serviceConns)), slog.New(slog.DiscardHandler)
	stock := map[ident.Region]fulfillment.StockLister{}
	inventories := map[ident.Region]*inventory.Service{}
	for _, region := range ident.Regions() {
		inventories[region] = inventory.New(inventory.Deps{
			DB: regional, Region: region, Regions: ident.Regions(), Clock: clock.System{}, Log: log,
			FC:      func(ctx context.Context, id string) (ident.Region, bool) { return s.FC(ctx, id) },
			Ordinal: func(ctx context.Context, id string) (int, bool) { return s.Ordinal(ctx, id) },
		})
		stock[region] = inventories[region]
	}
	s = fulfillment.New(fulfillment.Deps{
		Global: global, Regional: regional, Region: home, Stock: stock, Summaries: inventories[home], Clock: clock.System{}, Log: log, Observe: observe,
	})
	if err := s.OpenCenters(t.Context(), network()); err != nil {
		t.Fatal(err)
	}
	products = slices.Collect(seed.Products(3000, 1))
	slices.SortFunc(products, func(a, b *catalogv1.Product) int { return int(b.GetPopularity() - a.GetPopularity()) })
	lines := map[ident.Region][]inventory.Stock{}
	for _, p := range products {
		for _, l := range seed.Stock(p, 1) {
			lines[l.Region] = append(lines[l.Region], inventory.Stock{FC: l.FC, SKU: p.GetSku(), Quantity: l.Quantity})
		}
	}
	for region, all := range lines {
		if err := inventories[region].Open(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	// What the regions would tell the first one by events.
	if err := regional.ExecText(t.Context(), `INSERT INTO stock_summaries SELECT 'us-east-1', (s).sku, (s).source_region, (s).fcs, (s).units, (s).version, (s).changed_at, (s).levels
FROM (SELECT s FROM stock_summaries AS s WHERE region::text = source_region AND source_region <> 'us-east-1') AS others`); err != nil {
		t.Fatal(err)
	}
	if err := regional.ExecText(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	return s, products
}

// basket of one to three lines, popular products more often, to somewhere in the United States.
func basket(r *rand.Rand, products []*catalogv1.Product) *fulfillmentv1.PlanOrderRequest {
	req := &fulfillmentv1.PlanOrderRequest{ShipTo: &postalv1.PostalAddress{RegionCode: "US", PostalCode: fmt.Sprintf("%05d", r.IntN(100_000))}}
	for i := range 1 + r.IntN(3) {
		u := r.Float64()
		line := &fulfillmentv1.PlanLine{Line: int32(i + 1), Sku: products[int(u*u*u*float64(len(products)))].GetSku(), Quantity: 1}
		if r.IntN(5) == 0 {
			line.Quantity++
		}
		req.Lines = append(req.Lines, line)
	}
	return req
}

// cpu time that this process has used.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlanOrder asks the service for plans, as checkouts do, with a real database: of any products, one in 25 of which
// is scarce or sold out, and of the fifth that sells best.
func BenchmarkPlanOrder(b *testing.B) {
	observe := &planners{}
	s, products := planWorld(b, observe)
	for name, some := range map[string][]*catalogv1.Product{"any": products, "popular": products[:len(products)/5]} {
		b.Run(name, func(b *testing.B) { benchPlanOrder(b, s, some, observe) })
	}
}

func benchPlanOrder(b *testing.B, s *fulfillment.Service, products []*catalogv1.Product, observe *planners) {
	r := rand.New(rand.NewPCG(1, 2))
	refused, n := 0, 0
	asked, unasked := observe.asked.Load(), observe.unasked.Load()
	begun, used := time.Now(), cpu(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.PlanOrder(b.Context(), basket(r, products)); err != nil {
			refused++
		}
		n++
	}
	took := time.Since(begun)
	asked, unasked = observe.asked.Load()-asked, observe.unasked.Load()-unasked
	b.ReportMetric(float64(n)/took.Seconds(), "plans/s")
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(n), "cpu-µs/plan")
	b.ReportMetric(float64(refused)/float64(n), "refused")
	b.ReportMetric(float64(unasked)/float64(max(asked+unasked, 1)), "unasked")
}

// BenchmarkPlanOfALargeOrder is the worst that there is: 60 lines, five of which each of 175 centres has one unit of, so
// that the search is cut short.
func BenchmarkPlanOfALargeOrder(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var wants []fulfillment.Want
	for i := range 60 {
		wants = append(wants, fulfillment.Want{Line: int32(i + 1), SKU: skuName(i), Quantity: 1})
	}
	centers := network()
	task := fulfillment.NewTask(wants, len(centers))
	for i := range centers {
		leg := fulfillment.LegOf(centers[i].At, centers[0].At, fulfillment.Standard, time.Unix(1_900_000_000, 0))
		stock := task.Offer(&centers[i], &leg)
		for range 5 {
			stock[r.IntN(len(stock))] = 1
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := task.Plan(); err != nil {
			b.Fatal(err)
		}
	}
}
