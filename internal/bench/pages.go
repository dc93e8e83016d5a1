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
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// PagesConfig of the bench of the shop's pages.
type PagesConfig struct {
	// Seconds that pages are looked at; as long again before that, and at most ten, to warm up.
	Seconds float64
	// Readers look at one page after the other, each with a pause of readerPause between two; Shoppers buy meanwhile.
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
	// pageTimeout of one page.
	pageTimeout = 10 * time.Second
	// readerPause between two pages of a reader: nobody reads faster.
	readerPause = 50 * time.Millisecond
	// popularityExponent of products looked at: a few by many.
	popularityExponent = 1.1
	// maxPage in bytes, read by mistake.
	maxPage = 1 << 20
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
	_, stop, err := private{binDir: cfg.BinDir, portOffset: cfg.PortOffset, products: pagesProducts, seed: pagesSeed}.start(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return r, err
	}
	b := &pagesBench{cfg: cfg, router: "http://" + platform.NewLayout(cfg.PortOffset).Routers[0].Listen, took: map[string][]time.Duration{}}
	for p := range seed.Products(pagesProducts, pagesSeed) {
		b.skus = append(b.skus, p.GetSku())
	}
	b.client = &http.Client{Timeout: pageTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Readers, DisableCompression: true}}
	lasts := time.Duration(cfg.Seconds * float64(time.Second))
	cfg.Progress(fmt.Sprintf("%d readers and %d shoppers", cfg.Readers, cfg.Shoppers))
	orders, err := b.run(ctx, min(lasts, 10*time.Second), lasts)
	if err != nil {
		return r, err
	}
	r = b.report(orders, lasts)
	r.Seconds = time.Since(begun).Seconds()
	return r, nil
}

type pagesBench struct {
	cfg    PagesConfig
	router string
	skus   []string
	client *http.Client

	mu      sync.Mutex
	took    map[string][]time.Duration // by kind of page
	largest int64
}

// run readers beside shoppers: first for a while that does not count.
func (b *pagesBench) run(ctx context.Context, warm, lasts time.Duration) (placed int, err error) {
	stop, report := make(chan struct{}), shop.Report{}
	var bought error
	var wg sync.WaitGroup
	wg.Go(func() {
		report, bought = shop.Run(ctx, shop.Config{Routers: []string{b.router}, Shoppers: b.cfg.Shoppers, Orders: math.MaxInt32, Seed: pagesSeed, Stop: stop})
	})
	var failed error
	var once sync.Once
	var readers sync.WaitGroup
	from := time.Now().Add(warm)
	for n := range b.cfg.Readers {
		readers.Go(func() {
			if err := b.read(ctx, uint64(n), from, from.Add(lasts)); err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	readers.Wait()
	close(stop)
	wg.Wait()
	return report.Outcomes[shop.Placed], errors.Join(failed, bought)
}

// read pages as one who looks around: mostly products, sometimes the front page, a category or a search.
func (b *pagesBench) read(ctx context.Context, n uint64, from, until time.Time) error {
	draw := rand.New(rand.NewPCG(pagesSeed, n))
	popular := rand.NewZipf(draw, popularityExponent, 1, uint64(len(b.skus)-1))
	for time.Now().Before(until) {
		kind, path := "product", "/p/"+b.skus[popular.Uint64()]
		switch draw.IntN(10) {
		case 0:
			kind, path = "front page", "/"
		case 1:
			kind, path = "search", "/search?q="+[]string{"black", "steel", "light", "cotton"}[draw.IntN(4)]
		}
		began := time.Now()
		size, err := b.fetch(ctx, path)
		if err != nil {
			return err
		}
		if began.After(from) {
			b.mu.Lock()
			b.took[kind] = append(b.took[kind], time.Since(began))
			b.largest = max(b.largest, size)
			b.mu.Unlock()
		}
		if err := rest(ctx, readerPause); err != nil {
			return err
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

func (b *pagesBench) report(orders int, lasts time.Duration) Report {
	r := Report{
		Name: "pages", Machine: machine(), Ratios: map[string]float64{"html_kb": float64(b.largest) / 1000}, Goals: map[string]Goal{"product_page_p99_ms": atMost(20), "html_kb": atMost(60)},
		Notes: []string{
			fmt.Sprintf("%d shoppers placed %d orders meanwhile and before, while it warmed up; %d readers pause %s between two pages.", b.cfg.Shoppers, orders, b.cfg.Readers, readerPause),
			"html_kb is the largest page in thousands of bytes, before any compression.",
		},
	}
	for _, kind := range slices.Sorted(maps.Keys(b.took)) {
		r.Rows = append(r.Rows, row(kind, b.cfg.Readers, "page", lasts, b.took[kind]))
	}
	r.Ratios["product_page_p99_ms"] = r.find("product", b.cfg.Readers, "page").P99MS
	return r
}
