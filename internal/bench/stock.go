package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/inventory"
)

const (
	home = ident.Region("us-east-1")
	// centers and products make a hundred thousand rows.
	centers  = 60
	products = 1667
	// plenty is more than any run can take.
	plenty = 100_000_000
	// serviceConns is what a cell has; the peer gets a connection for each caller, up to naiveConns.
	serviceConns = 8
	naiveConns   = 64
)

// The peer: what one would write first. A guarded decrement and the reservation's row in one transaction.
var (
	stmtNaiveTake = sqldb.Define(sqldb.Regional, "bench.naive_take", `
UPDATE inventory
SET available = available - $4, reserved = reserved + $4
WHERE region = $1 AND fc_id = $2 AND sku = $3 AND available >= $4`)

	stmtNaiveHold = sqldb.Define(sqldb.Regional, "bench.naive_hold", `
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
VALUES ($1, $2, $3, 1, $4, $5, 'HELD', $6, now())`)
)

// StockConfig of the bench of reservations.
type StockConfig struct {
	// Seconds of each measurement.
	Seconds float64
	// Cases to measure, of StockCases; all when empty.
	Cases []string
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

// Stock measures reservations through the service against the naive transaction: on one row that everybody wants, and
// spread over a hundred thousand.
func Stock(ctx context.Context, cfg StockConfig) (r Report, err error) {
	begun := time.Now()
	_, url, stop, err := ownServer(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b := &stockBench{cfg: cfg, url: url, report: Report{Name: "stock", Machine: machine(), Ratios: map[string]float64{}}}
	if err := b.prepare(ctx); err != nil {
		return r, err
	}
	if err := b.measureAll(ctx); err != nil {
		return r, err
	}
	b.compare()
	b.report.Seconds = time.Since(begun).Seconds()
	return b.report, nil
}

type stockBench struct {
	cfg    StockConfig
	url    string
	report Report
}

func (b *stockBench) say(format string, args ...any) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

// prepare the schema and the stock.
func (b *stockBench) prepare(ctx context.Context) error {
	b.say("preparing %d rows", centers*products)
	if err := schemas(ctx, b.url, sqldb.Regional); err != nil {
		return err
	}
	pool, err := b.open(ctx, 2, false)
	if err != nil {
		return err
	}
	defer pool.Close()
	var stock []inventory.Stock
	for fc := range centers {
		for sku := range products {
			stock = append(stock, inventory.Stock{FC: fcName(fc), SKU: skuName(sku), Quantity: plenty})
		}
	}
	if err := service(pool).Open(ctx, stock); err != nil {
		return err
	}
	// A table that was empty when it was looked at misleads the planner, and in life it never is: some orders first.
	take := throughService(pool)
	if _, _, err := load(ctx, 64, 2*time.Second, take, anyRow); err != nil {
		return err
	}
	return pool.ExecText(ctx, "ANALYZE")
}

func fcName(n int) string  { return fmt.Sprintf("fc%02d", n) }
func skuName(n int) string { return fmt.Sprintf("SKU-%05d", n) }

// open a pool; slow makes each commit wait 2 ms, as a replicated one does.
func (b *stockBench) open(ctx context.Context, conns int, slow bool) (*sqldb.DB, error) {
	params := map[string]string{}
	if slow {
		params = map[string]string{"commit_delay": "2000", "commit_siblings": "0"}
	}
	return sqldb.Open(ctx, sqldb.Config{URL: b.url, Database: sqldb.Regional, MaxConns: conns, RuntimeParams: params})
}

func service(pool *sqldb.DB) *inventory.Service {
	everywhere := func(context.Context, string) (ident.Region, bool) { return home, true }
	return inventory.New(inventory.Deps{DB: pool, Region: home, FC: everywhere, Swept: func(context.Context) []string { return nil }, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
}

// take reserves one unit of a product at a centre.
type take func(ctx context.Context, fc, sku string) error

func throughService(pool *sqldb.DB) take {
	s := service(pool)
	return func(ctx context.Context, fc, sku string) error {
		_, err := s.Reserve(ctx, &inventoryv1.ReserveRequest{
			FcId: fc, OrderId: string(ident.NewOrder("use1")), Lines: []*inventoryv1.ReserveLine{{Line: 1, Sku: sku, Quantity: 1}},
			ExpiresAt: timestamppb.New(time.Now().Add(15 * time.Minute)),
		})
		return err
	}
}

func naive(pool *sqldb.DB) take {
	return func(ctx context.Context, fc, sku string) error {
		return pool.InTx(ctx, func(tx sqldb.Tx) error {
			n, err := tx.Exec(ctx, stmtNaiveTake, string(home), fc, sku, 1)
			if err != nil {
				return err
			}
			if n == 0 {
				return errors.New("sold out")
			}
			_, err = tx.Exec(ctx, stmtNaiveHold, string(home), fc, string(ident.NewOrder("use1")), sku, 1, time.Now().Add(15*time.Minute))
			return err
		})
	}
}

// The cases.
const (
	hot     = "hot"
	uniform = "uniform"
	delayed = "commit_delay"
)

// StockCases by name: what everybody wants, what is spread, and what everybody wants where a commit takes 2 ms.
func StockCases() []string { return []string{hot, uniform, delayed} }

func (b *stockBench) measureAll(ctx context.Context) error {
	callers := map[string][]int{hot: {16, 64, 256}, uniform: {16, 64, 256}, delayed: {64}}
	cases := b.cfg.Cases
	if len(cases) == 0 {
		cases = StockCases()
	}
	for _, name := range cases {
		for _, n := range callers[name] {
			for _, variant := range []string{"naive", "service"} {
				b.say("%s, %d callers, %s", name, n, variant)
				if err := b.measure(ctx, name, n, variant); err != nil {
					return fmt.Errorf("%s, %d callers, %s: %w", name, n, variant, err)
				}
			}
		}
	}
	return nil
}

func (b *stockBench) measure(ctx context.Context, what string, callers int, variant string) error {
	conns, make := serviceConns, throughService
	if variant == "naive" {
		conns, make = min(callers, naiveConns), naive
	}
	pool, err := b.open(ctx, conns, what == delayed)
	if err != nil {
		return err
	}
	defer pool.Close()
	pick := func(*rand.Rand) (string, string) { return fcName(0), skuName(0) }
	if what == uniform {
		pick = anyRow
	}
	latencies, took, err := load(ctx, callers, time.Duration(b.cfg.Seconds*float64(time.Second)), make(pool), pick)
	b.report.Rows = append(b.report.Rows, row(what, callers, variant, took, latencies))
	return err
}

func anyRow(r *rand.Rand) (fc, sku string) { return fcName(r.IntN(centers)), skuName(r.IntN(products)) }

// load calls from many goroutines until the time is over. The first failure ends it.
func load(ctx context.Context, callers int, d time.Duration, call take, pick func(*rand.Rand) (fc, sku string)) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d+10*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var first error
	var wg sync.WaitGroup
	begun := time.Now()
	end := begun.Add(d)
	for n := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			var own []time.Duration
			var err error
			for err == nil && time.Now().Before(end) {
				fc, sku := pick(r)
				start := time.Now()
				if err = call(ctx, fc, sku); err == nil {
					own = append(own, time.Since(start))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			first = errors.Join(first, err)
		})
	}
	wg.Wait()
	return all, time.Since(begun), first
}

// compare the service with the peer.
func (b *stockBench) compare() {
	r := &b.report
	r.Ratios, r.Goals = map[string]float64{}, map[string]Goal{}
	compare := func(metric, what string, callers int, of func(Row) float64, goal Goal) {
		if peer := of(r.find(what, callers, "naive")); peer > 0 {
			r.Ratios[metric], r.Goals[metric] = of(r.find(what, callers, "service"))/peer, goal
		}
	}
	rate, p99 := func(row Row) float64 { return row.PerSecond }, func(row Row) float64 { return row.P99MS }
	compare("hot_64", hot, 64, rate, atLeast(20))
	compare("hot_64_p99", hot, 64, p99, atMost(0.1))
	compare("hot_64_commit_delay", delayed, 64, rate, atLeast(20))
	compare("uniform_256", uniform, 256, rate, atLeast(3))
	compare("uniform_16", uniform, 16, rate, atLeast(1))
	compare("uniform_16_p99", uniform, 16, p99, atMost(1))
}
