package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// PagesConfig of the bench of the shop's pages.
type PagesConfig struct {
	// Seconds that pages are looked at in each of the two parts; as long again before each, and at most ten, to warm up.
	Seconds float64
	// OrdersPerSecond that shoppers begin in the first part, at drawn times.
	OrdersPerSecond float64
	// Readers look at a page every readerPause, one after the other; Shoppers buy meanwhile in the second part, as fast as they are
	// answered.
	Readers, Shoppers int
	BinDir            string
	PortOffset        int
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	pagesProducts = 5_000
	pagesSeed     = 1
	// pagesLimit of the whole bench.
	pagesLimit = 175 * time.Second
	// pagesWarm at most, before each part.
	pagesWarm = 10 * time.Second
	// pageTimeout of one page.
	pageTimeout = 10 * time.Second
	// readerPause between two pages of a reader: nobody reads faster.
	readerPause = 50 * time.Millisecond
	// pacedShoppers bounds the orders under way at a rate: an order that takes three seconds still leaves somebody free for the next.
	pacedShoppers = 64
	// popularityExponent of products looked at: a few by many.
	popularityExponent = 1.1
	// maxPage in bytes, read by mistake.
	maxPage = 1 << 20
)

// Parts of the bench, as rows have them: the machine with the orders of a day on it, and with as many as it can place.
const (
	partPaced     = "paced"
	partSaturated = "saturated"
)

// Variants of a page's time to its last byte.
const (
	sinceDue   = "due"   // from when a reader was due to look at it: one who is kept waiting by a page is late for the next
	sinceAsked = "asked" // from when it was asked for
)

// Pages measures how long the shop's pages take from the router, head to last byte, while shoppers buy.
func Pages(ctx context.Context, cfg PagesConfig) (r Report, err error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, pagesLimit)
	defer cancel()
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	cfg.Progress(fmt.Sprintf("starting a platform with %d products", pagesProducts))
	router := platform.NewLayout(cfg.PortOffset).Routers[0]
	// Whoever puts a product up for sale has its page's row made by the event; the opening of a platform tells of none.
	_, stop, err := private{binDir: cfg.BinDir, portOffset: cfg.PortOffset, products: pagesProducts, seed: pagesSeed, pagesOf: router.Region}.start(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return r, err
	}
	b := newPagesBench(cfg, "http://"+router.Listen)
	cfg.Progress(fmt.Sprintf("%d readers, %g orders a second", cfg.Readers, cfg.OrdersPerSecond))
	paced, err := b.run(ctx, partPaced, shop.Config{Shoppers: pacedShoppers, Rate: cfg.OrdersPerSecond})
	if err != nil {
		return r, err
	}
	cfg.Progress(fmt.Sprintf("%d readers, %d shoppers as fast as they are answered", cfg.Readers, cfg.Shoppers))
	saturated, err := b.run(ctx, partSaturated, shop.Config{Shoppers: cfg.Shoppers})
	if err != nil {
		return r, err
	}
	r = b.report(paced, saturated)
	r.Seconds = time.Since(begun).Seconds()
	return r, nil
}

type pagesBench struct {
	cfg    PagesConfig
	lasts  time.Duration
	router string
	skus   []string
	client *http.Client
	clock  clock.Clock
	look   func(ctx context.Context, path string) (size int64, err error)

	mu      sync.Mutex
	took    map[pageCase][]time.Duration
	largest int64
}

// pageCase is what is told apart: what kind of page, in which part, from when on.
type pageCase struct{ kind, part, since string }

func newPagesBench(cfg PagesConfig, router string) *pagesBench {
	b := &pagesBench{
		cfg: cfg, lasts: time.Duration(cfg.Seconds * float64(time.Second)), router: router,
		client: &http.Client{Timeout: pageTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Readers, DisableCompression: true}},
		clock:  clock.System{}, took: map[pageCase][]time.Duration{},
	}
	b.look = b.fetch
	for p := range seed.Products(pagesProducts, pagesSeed) {
		b.skus = append(b.skus, p.GetSku())
	}
	return b
}

// bought is what shoppers did while pages were measured.
type bought struct {
	placed int
	shop.Report
}

// run a part, readers beside shoppers: first for a while that does not count.
func (b *pagesBench) run(ctx context.Context, part string, play shop.Config) (during bought, err error) {
	from := b.clock.Now().Add(min(b.lasts, pagesWarm))
	window := pageWindow{part: part, from: from, until: from.Add(b.lasts)}
	var placed atomic.Int64
	stop := make(chan struct{})
	play.Routers, play.Orders, play.Seed, play.Stop = []string{b.router}, math.MaxInt32, pagesSeed, stop
	play.Placed = func(p shop.Placement) {
		if window.has(p.At) {
			placed.Add(1)
		}
	}
	var wg, readers sync.WaitGroup
	var failed error
	wg.Go(func() { during.Report, failed = shop.Run(ctx, play) })
	read := make([]error, b.cfg.Readers)
	for n := range read {
		readers.Go(func() { read[n] = b.read(ctx, n, window) })
	}
	readers.Wait()
	close(stop)
	wg.Wait()
	during.placed = int(placed.Load())
	return during, errors.Join(errors.Join(read...), failed)
}

// pageWindow in which a part's pages and orders count.
type pageWindow struct {
	part        string
	from, until time.Time
}

func (w pageWindow) has(at time.Time) bool { return !at.Before(w.from) && at.Before(w.until) }

// read pages as one who looks around: mostly products, sometimes the front page or a search. A page is due every readerPause, however
// long the one before it took.
func (b *pagesBench) read(ctx context.Context, n int, w pageWindow) error {
	draw := rand.New(rand.NewPCG(pagesSeed, uint64(n)))
	popular := rand.NewZipf(draw, popularityExponent, 1, uint64(len(b.skus)-1))
	first := b.clock.Now().Add(readerPause * time.Duration(n) / time.Duration(b.cfg.Readers)) // not all at once
	for due := first; due.Before(w.until); due = due.Add(readerPause) {
		kind, path := "product", "/p/"+b.skus[popular.Uint64()]
		switch draw.IntN(10) {
		case 0:
			kind, path = "front page", "/"
		case 1:
			kind, path = "search", "/search?q="+[]string{"black", "steel", "light", "cotton"}[draw.IntN(4)]
		}
		if err := b.clock.Sleep(ctx, due.Sub(b.clock.Now())); err != nil {
			return err
		}
		asked := b.clock.Now()
		size, err := b.look(ctx, path)
		if err != nil {
			return err
		}
		if w.has(due) {
			now := b.clock.Now()
			b.mu.Lock()
			b.took[pageCase{kind, w.part, sinceDue}] = append(b.took[pageCase{kind, w.part, sinceDue}], now.Sub(due))
			b.took[pageCase{kind, w.part, sinceAsked}] = append(b.took[pageCase{kind, w.part, sinceAsked}], now.Sub(asked))
			b.largest = max(b.largest, size)
			b.mu.Unlock()
		}
	}
	return nil
}

func (b *pagesBench) fetch(ctx context.Context, path string) (size int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.router+path, nil)
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	req.Header.Set("Accept", "text/html")
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer resp.Body.Close()
	size, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxPage))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("bench: %s answers %s", path, resp.Status)
	}
	return size, err
}

func (b *pagesBench) report(paced, saturated bought) Report {
	r := Report{
		Name: "pages", Machine: machine(),
		Ratios: map[string]float64{"html_kb": float64(b.largest) / 1000, "orders_per_second": float64(paced.placed) / b.lasts.Seconds()},
		Goals:  map[string]Goal{"product_page_p99_ms": atMost(20), "html_kb": atMost(60)},
		Notes: []string{
			fmt.Sprintf("%s: %g orders a second were due; %d of %d were begun late, the latest by %.0f ms; %s.",
				partPaced, b.cfg.OrdersPerSecond, paced.Pace.Late, paced.Orders, paced.Pace.Max, outcomes(paced.Report)),
			fmt.Sprintf("%s: %d shoppers, one order after the other, placed %.1f a second.", partSaturated, b.cfg.Shoppers, float64(saturated.placed)/b.lasts.Seconds()),
			fmt.Sprintf("A reader looks at a page every %s. %q counts from then, so that a slow page is not hidden by its reader's waiting for it; %q from the request.", readerPause, sinceDue, sinceAsked),
			"html_kb is the largest page in thousands of bytes, before any compression.",
		},
	}
	for _, part := range []string{partPaced, partSaturated} {
		for _, kind := range []string{"product", "front page", "search"} {
			for _, since := range []string{sinceDue, sinceAsked} {
				r.Rows = append(r.Rows, row(kind+", "+part, b.cfg.Readers, since, b.lasts, b.took[pageCase{kind, part, since}]))
			}
		}
	}
	r.Ratios["product_page_p99_ms"] = r.find("product, "+partPaced, b.cfg.Readers, sinceDue).P99MS
	r.Ratios["product_page_p99_saturated_ms"] = r.find("product, "+partSaturated, b.cfg.Readers, sinceDue).P99MS
	return r
}

// outcomes of all orders of a play.
func outcomes(r shop.Report) string {
	var all []string
	for _, outcome := range slices.Sorted(maps.Keys(r.Outcomes)) {
		all = append(all, fmt.Sprintf("%d %s", r.Outcomes[outcome], outcome))
	}
	return strings.Join(all, ", ")
}
