package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// ImportConfig of the bench of imports.
type ImportConfig struct {
	// Products in the file.
	Products int
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	importSeed = 1
	// perMinute products are imported, at least.
	perMinute = 100_000
)

// Import measures how fast a file of products is put up for sale, with stock in the centres and an event for each product and
// region, into a database of its own that nobody else uses: no cell takes the events.
func Import(ctx context.Context, cfg ImportConfig) (r Report, err error) {
	begun := time.Now()
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	dir, url, stop, err := ownServer(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := schemas(ctx, url, sqldb.Global, sqldb.Regional); err != nil {
		return r, err
	}
	opener, err := opening.New(ctx, url)
	if err != nil {
		return r, err
	}
	defer opener.Close()
	if _, err := opener.Centers(ctx); err != nil {
		return r, err
	}
	cfg.Progress(fmt.Sprintf("writing a file of %d products", cfg.Products))
	file := filepath.Join(dir, "products.jsonl")
	if err := writeProducts(file, cfg.Products); err != nil {
		return r, err
	}
	r = Report{Name: "import", Machine: machine(), Ratios: map[string]float64{}, Goals: map[string]Goal{"products_per_minute": atLeast(perMinute)},
		Notes: []string{"PER SECOND counts products, P50 and P99 are of a batch of 2,000 of them with their stock."}}
	for _, variant := range []string{"first", "again"} { // again, each product is another version of what is there
		cfg.Progress("importing it: " + variant)
		last, batches := time.Now(), []time.Duration{}
		done, err := opener.File(ctx, file, opening.Options{Seed: importSeed, Announce: true, Progress: func(int) {
			batches, last = append(batches, time.Since(last)), time.Now()
		}})
		if err != nil {
			return r, err
		}
		if done.Products != cfg.Products {
			return r, fmt.Errorf("bench: %d of %d products were imported: %v", done.Products, cfg.Products, done.Examples)
		}
		measured := row("import", 1, variant, time.Since(begun), batches)
		measured.PerSecond = float64(done.Products) / done.Seconds
		r.Rows = append(r.Rows, measured)
	}
	r.Ratios["products_per_minute"], r.Ratios["again_per_minute"] = 60*r.Rows[0].PerSecond, 60*r.Rows[1].PerSecond
	r.Seconds = time.Since(begun).Seconds()
	return r, nil
}

func writeProducts(path string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for p := range seed.Products(n, importSeed) {
		line, err := protojson.Marshal(p)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return w.Flush()
}
