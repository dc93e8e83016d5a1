package cells

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// lookEvery is how often it is looked whether events flow: sixteen rows of an index, by each cell.
const lookEvery = 2 * time.Second

// flow tells to which regions events flow. Every cell of a region looks at the same outbox: the cell that relays it may be another.
type flow struct {
	// heads of the outbox that tells centres what to pack.
	heads func(context.Context) (map[ident.Region]time.Time, error)
	// patience with the first event for a region; 0 is endless.
	patience time.Duration
	clock    clock.Clock
	log      *slog.Logger
	// observe is told of each region every time.
	observe func(destination ident.Region, stuck bool)

	stuck atomic.Pointer[map[ident.Region]bool]
}

// flows unless the first event for a region waits for longer than it is given.
func (f *flow) flows(region ident.Region) bool {
	stuck := f.stuck.Load()
	return stuck == nil || !(*stuck)[region]
}

// run until ctx ends.
func (f *flow) run(ctx context.Context) {
	for f.patience > 0 {
		f.look(ctx)
		if f.clock.Sleep(ctx, lookEvery) != nil {
			return
		}
	}
	<-ctx.Done()
}

// look at what waits. Of what cannot be seen nothing is believed.
func (f *flow) look(ctx context.Context) {
	heads, err := f.heads(ctx)
	if err != nil {
		if ctx.Err() == nil {
			f.log.WarnContext(ctx, "whether events flow cannot be seen", "error", err)
		}
		heads = nil
	}
	now, stuck := f.clock.Now(), map[ident.Region]bool{}
	for _, region := range ident.Regions() {
		since, waits := heads[region]
		stuck[region] = waits && now.Sub(since) > f.patience
		if flows := !stuck[region]; flows != f.flows(region) {
			f.log.WarnContext(ctx, "whether orders are planned around a region changes: by whether its events flow", "destination", string(region), "around", !flows)
		}
		f.observe(region, stuck[region])
	}
	f.stuck.Store(&stuck)
}
