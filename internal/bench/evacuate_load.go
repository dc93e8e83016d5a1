package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/shop"
)

const (
	// watchers are customers of the cell who write all the time through the router: whether it is served shows at once.
	watchers = 4
	// watcherPause between two writes of one: often enough to tell tenths of a second, seldom enough not to be the load.
	watcherPause = 25 * time.Millisecond
	// tooLong is when an answer comes too late for a shopper, by the promise about checkouts.
	tooLong = 10 * time.Second
	// recoveryLimit bounds the wait for the customers of a cell that was killed.
	recoveryLimit = 30 * time.Second
	// maxNotes that a report has in words; all are counted.
	maxNotes = 12
)

// tally of what callers met with. All methods may be called at the same time.
type tally struct {
	ours func(ident.CustomerID) bool // whether the cell that everything is done to has the customer

	mu       sync.Mutex
	now      string // case under way
	place    []time.Duration
	checkout map[string]int // calls of Quote and PlaceOrder, by case
	failed   map[string]int // those that failed
	others   int            // calls of customers of other cells
	errors   int
	alone    int // calls of anybody without a control plane, and those that failed
	lost     int
	guests   int // calls of visitors who had no session yet, and those that failed
	turned   int
	direct   time.Time            // last write that the cell itself has taken
	served   map[int][2]time.Time // start and end of the last write that succeeded, by watcher
	notes    []string
}

func newTally(ours func(ident.CustomerID) bool) *tally {
	return &tally{ours: ours, now: caseNone, checkout: map[string]int{}, failed: map[string]int{}, served: map[int][2]time.Time{}}
}

func (t *tally) enter(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = name
}

func (t *tally) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noted(text)
}

func (t *tally) noted(text string) {
	if len(t.notes) < maxNotes {
		t.notes = append(t.notes, text)
	}
}

// call of a shopper.
func (t *tally) call(c shop.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := c.Failed() || c.Took > tooLong
	switch {
	case c.Customer == "":
		t.guests++
		if failed {
			t.turned++
		}
	case !t.ours(c.Customer):
		t.others++
		if failed {
			t.errors++
		}
	}
	if t.now == caseAlone {
		t.alone++
		if failed {
			t.lost++
		}
	}
	if c.Name == "PlaceOrder" && c.Err == nil {
		t.place = append(t.place, c.Took)
	}
	if c.Name == "PlaceOrder" || c.Name == "Quote" {
		t.checkout[t.now]++
		if failed {
			t.failed[t.now]++
		}
	}
	if failed {
		t.noted(fmt.Sprintf("%s, %s of %s after %s: %v", t.now, c.Name, cmp.Or(string(c.Customer), "a new visitor"), c.Took.Round(time.Millisecond), c.Err))
	}
}

// wrote: a watcher's write that began then has succeeded now.
func (t *tally) wrote(watcher int, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.served[watcher] = [2]time.Time{began, time.Now()}
}

func (t *tally) wroteDirectly() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.direct = time.Now()
}

func (t *tally) lastDirect() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.direct
}

// awaitServed waits until each watcher has written something that began after the cell was killed; how long after it.
func (t *tally) awaitServed(ctx context.Context, killed time.Time) (after []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, recoveryLimit)
	defer cancel()
	first := map[int]time.Duration{}
	for len(first) < watchers {
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%d of %d customers are served again: %w", len(first), watchers, err)
		}
		t.mu.Lock()
		for w, at := range t.served {
			if _, have := first[w]; !have && at[0].After(killed) {
				first[w] = at[1].Sub(killed)
			}
		}
		t.mu.Unlock()
	}
	for _, d := range first {
		after = append(after, d)
	}
	return after, nil
}

// startLoad: shoppers, customers who watch through the router, and one who writes at the cell itself. The function ends them
// all and puts what they met with into the report.
func (b *evacuateBench) startLoad(ctx context.Context) (end func() error, err error) {
	b.tally = newTally(func(id ident.CustomerID) bool { return id.Region() == b.region && b.slots[id.Slot()] })
	l := platform.NewLayout(b.info.PortOffset)
	var routers []string
	for _, r := range l.Routers {
		routers = append(routers, "http://"+r.Listen)
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: watchers + 1, IdleConnTimeout: time.Minute}}
	tokens, err := b.customers(ctx, client, routers[0], watchers+1)
	if err != nil {
		return nil, err
	}
	b.written = func(ctx context.Context) (int64, error) { return quantity(ctx, client, routers[0], tokens[watchers]) }
	loading, cancel := context.WithCancel(ctx)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var report shop.Report
	var played error
	wg.Go(func() {
		report, played = shop.Run(ctx, shop.Config{
			Routers: routers, Shoppers: b.cfg.Shoppers, Orders: math.MaxInt32, Seed: evacuateSeed, Patience: 30 * time.Second, Stop: stop, Observe: b.tally.call,
		})
	})
	for n := range watchers {
		wg.Go(func() {
			b.write(loading, client, routers[0], tokens[n], func(began time.Time) { b.tally.wrote(n, began) })
		})
	}
	wg.Go(func() {
		b.write(loading, client, "http://"+b.victim.GetPublicAddress(), tokens[watchers], func(time.Time) { b.tally.wroteDirectly() })
	})
	began := time.Now()
	return func() error {
		close(stop)
		cancel()
		wg.Wait()
		b.count(report, time.Since(began))
		if errors.Is(played, context.Canceled) {
			return nil
		}
		return played
	}, rest(ctx, settle)
}

// customers of the cell: guests come to any cell of the region, and the cell gives them a slot of its own.
func (b *evacuateBench) customers(ctx context.Context, client *http.Client, router string, n int) (tokens []string, err error) {
	var sku string
	for p := range seed.Products(1, evacuateSeed) {
		sku = p.GetSku()
	}
	carts := cartv1connect.NewCartServiceClient(client, router, connect.WithAcceptCompression("gzip", nil, nil))
	for range 64 * n {
		call, info := connect.NewClientContext(ctx)
		if _, err := carts.AddItem(call, &cartv1.AddItemRequest{Sku: sku, Quantity: 1}); err != nil {
			return nil, fmt.Errorf("bench: a guest: %w", err)
		}
		token := info.ResponseHeader().Get(session.Header)
		if id, ok := session.ParseCustomer(token); ok && b.tally.ours(id) {
			if tokens = append(tokens, token); len(tokens) == n {
				return tokens, nil
			}
		}
	}
	return nil, fmt.Errorf("bench: only %d of %d guests came to %s", len(tokens), n, b.victim.GetCellId())
}

// quantity of the one line of a customer's cart.
func quantity(ctx context.Context, client *http.Client, router, token string) (int64, error) {
	call, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+token)
	resp, err := cartv1connect.NewCartServiceClient(client, router, connect.WithAcceptCompression("gzip", nil, nil)).GetCart(call, &cartv1.GetCartRequest{})
	if err != nil {
		return 0, fmt.Errorf("bench: look at a cart: %w", err)
	}
	if n := len(resp.GetCart().GetLines()); n != 1 {
		return 0, fmt.Errorf("bench: a cart has %d lines instead of one", n)
	}
	return resp.GetCart().GetLines()[0].GetQuantity(), nil
}

// write to a customer's cart all the time, until ctx ends.
func (b *evacuateBench) write(ctx context.Context, client *http.Client, at, token string, wrote func(began time.Time)) {
	carts := cartv1connect.NewCartServiceClient(client, at, connect.WithAcceptCompression("gzip", nil, nil))
	var sku string
	for p := range seed.Products(1, evacuateSeed) {
		sku = p.GetSku()
	}
	for n := int64(0); ; n++ {
		call, info := connect.NewClientContext(ctx)
		info.RequestHeader().Set("Authorization", "Bearer "+token)
		began := time.Now()
		if _, err := carts.SetQuantity(call, &cartv1.SetQuantityRequest{Sku: sku, Quantity: 1 + n%9}); err == nil {
			wrote(began)
		}
		if rest(ctx, watcherPause) != nil {
			return
		}
	}
}

// count what shoppers met with.
func (b *evacuateBench) count(played shop.Report, took time.Duration) {
	t := b.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	b.report.Rows = append(b.report.Rows, row("PlaceOrder, through all of it", b.cfg.Shoppers, "service", took, t.place))
	total := 0
	for _, name := range []string{caseAlone, caseWell, caseHung, caseKilled, caseNone} {
		b.note("checkouts, %s: %d calls, %d failed", name, t.checkout[name], t.failed[name])
		total += t.failed[name]
	}
	unresolved := played.Outcomes[shop.Unresolved]
	for outcome, n := range played.Outcomes {
		if outcome == "INTERNAL" {
			unresolved += n
		}
	}
	b.note("%d orders placed, %d unresolved; other cells' customers: %d calls, %d failed; new visitors: %d calls, %d failed",
		played.Outcomes[shop.Placed], unresolved, t.others, t.errors, t.guests, t.turned)
	b.report.Ratios["failed_checkouts"], b.report.Goals["failed_checkouts"] = float64(total+unresolved), atMost(0)
	if t.alone > 0 {
		b.note("all calls without a control plane: %d, %d failed", t.alone, t.lost)
		b.report.Ratios["errors_without_control_plane"], b.report.Goals["errors_without_control_plane"] = float64(t.lost)/float64(t.alone), atMost(0)
	}
	b.report.Ratios["other_cells_error_ratio"], b.report.Goals["other_cells_error_ratio"] = float64(t.errors)/float64(max(t.others, 1)), atMost(0.0001)
	b.report.Notes = append(b.report.Notes, t.notes...)
}

func (b *evacuateBench) note(format string, args ...any) {
	b.report.Notes = append(b.report.Notes, fmt.Sprintf(format, args...))
}

// judge what was measured.
func (b *evacuateBench) judge(broken []string) {
	n := len(b.reported)
	whole := func(what, variant string, all []time.Duration) {
		if len(all) > 0 {
			b.report.Rows = append(b.report.Rows, row(what, 1, variant, sum(all), all))
		}
	}
	flips := slices.Concat(b.reported, b.observed)
	whole("command to last old write", "reported", b.reported)
	whole("command to last old write", "observed", b.observed)
	whole("command to the move's end", "reported", b.whole)
	whole("undo to last old write", "reported", b.undone)
	whole("kill to customers served", "observed", b.recovered)
	if len(flips) > 0 {
		b.report.Ratios["flip_seconds_p99"], b.report.Goals["flip_seconds_p99"] = row("", 1, "", sum(flips), flips).P99MS/1000, atMost(1)
	}
	if len(b.recovered) > 0 {
		b.report.Ratios["kill_recovery_seconds"], b.report.Goals["kill_recovery_seconds"] = slices.Max(b.recovered).Seconds(), atMost(2)
	}
	b.report.Ratios["late_writes"], b.report.Goals["late_writes"] = float64(b.late), atMost(0)
	b.report.Ratios["broken_promises"], b.report.Goals["broken_promises"] = float64(len(broken)), atMost(0)
	b.note("%d evacuations by command, %d undone, %d customers of a killed cell timed; audit: %d promises broken", n, len(b.undone), len(b.recovered), len(broken))
	b.report.Notes = append(b.report.Notes, broken[:min(len(broken), maxNotes)]...)
}

func sum(all []time.Duration) (total time.Duration) {
	for _, d := range all {
		total += d
	}
	return total
}

func firstOf(addresses string) string {
	first, _, _ := strings.Cut(addresses, ",")
	return first
}
