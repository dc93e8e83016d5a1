package feed

import (
	"context"
	"embed"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/lease"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/quickwit"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// batch of messages that are written in one request: half a megabyte of documents, as a rule. News of stock has some hundred
	// products a message.
	batch, stockBatch = 500, 50
	// firstPause of a stream whose documents could not be written; it doubles up to maxPause, and begins anew when some could.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// leaseName of the one who writes, in each region.
	leaseName = "feed"
)

//go:embed indexes
var configs embed.FS

// Stream that is written down, and where to.
type Stream struct {
	Consumer bus.Consumer
	Index    quickwit.Index
}

// Streams of a region. Of stock only its own news are among them: the others' are written by their regions.
func Streams(region ident.Region) []Stream {
	stream := func(name, durable, subject, index string, batch int) Stream {
		config, err := configs.ReadFile("indexes/" + index + ".json")
		if err != nil {
			panic(err) // it is part of the program
		}
		return Stream{bus.Consumer{Region: region, Stream: name, Durable: durable, Subject: subject, Batch: batch}, quickwit.Index{ID: "cellar-" + index, Config: config}}
	}
	return []Stream{
		stream(bus.StreamFulfillment, "feed-requests", "fulfillment.>", "orders", batch),
		stream(bus.StreamOrder, "feed-orders", "order.>", "orders", batch),
		stream(bus.StreamStock, "feed-stock", "stock."+string(region)+".summarized", "stock", stockBatch),
		stream(bus.StreamSearch, "feed-searches", "search.>", "searches", batch),
	}
}

// Bus that messages come from.
type Bus interface {
	ConsumeBatches(ctx context.Context, c bus.Consumer, handle bus.BatchHandler) error
}

// Sink of documents.
type Sink interface {
	EnsureIndex(ctx context.Context, i quickwit.Index) error
	Ingest(ctx context.Context, index string, commit quickwit.Commit, documents [][]byte) error
}

// Guard runs a call unless the sink's breaker is open.
type Guard interface {
	Do(call func() error) error
}

// Observer of the feed.
type Observer interface {
	// DocumentsWritten are told by their index, twins among them.
	DocumentsWritten(index string, documents int)
}

// Deps of a Feed.
type Deps struct {
	Bus   Bus
	Sink  Sink
	Guard Guard
	// DB has the lease of the one who writes; a region's.
	DB     *sqldb.DB
	Region ident.Region
	// Cell competes for the lease under this name.
	Cell  string
	Clock clock.Clock
	Log   *slog.Logger
	// Observe may be nil.
	Observe Observer
}

// Feed of one region.
type Feed struct{ deps Deps }

// New feed.
func New(deps Deps) *Feed { return &Feed{deps: deps} }

// Run writes the region's streams down whenever this process holds the lease, until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	keeper := lease.New(lease.Deps{DB: f.deps.DB, Region: f.deps.Region, Holder: f.deps.Cell, Clock: f.deps.Clock, Log: f.deps.Log})
	keeper.Run(ctx, leaseName, func(ctx context.Context) {
		var wg sync.WaitGroup
		defer wg.Wait()
		for _, s := range Streams(f.deps.Region) {
			wg.Go(func() { f.carry(ctx, s) })
		}
	})
}

// carry a stream until ctx ends. While documents cannot be written nothing is consumed: messages that are not handed out are not
// tried in vain, and wait in their order.
func (f *Feed) carry(ctx context.Context, s Stream) {
	for wait := firstPause; ctx.Err() == nil; wait = min(2*wait, maxPause) {
		err := f.guarded(func() error { return f.deps.Sink.EnsureIndex(ctx, s.Index) })
		if err == nil {
			var written bool
			if written, err = f.consume(ctx, s); written {
				wait = firstPause
			}
		}
		if ctx.Err() != nil {
			return
		}
		f.deps.Log.WarnContext(ctx, "events wait in their stream: they cannot be written down", "stream", s.Consumer.Stream, "index", s.Index.ID, "again in", wait.String(), "error", err)
		if f.deps.Clock.Sleep(ctx, wait/2+rand.N(wait/2)) != nil {
			return
		}
	}
}

// consume until something is in the way of all documents, and tell whether any was written before.
func (f *Feed) consume(ctx context.Context, s Stream) (written bool, why error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var any atomic.Bool
	err := f.deps.Bus.ConsumeBatches(ctx, s.Consumer, func(handling context.Context, all []bus.Message) error {
		if ctx.Err() != nil {
			return ctx.Err() // those behind the one that failed
		}
		err := f.write(handling, s.Index.ID, all)
		if err == nil {
			any.Store(true)
		}
		if away(err) {
			stop(err)
		}
		return err
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	return any.Load(), err
}

// write the documents of messages. A message that cannot be read is an error before anything is written.
func (f *Feed) write(ctx context.Context, index string, all []bus.Message) error {
	var lines [][]byte
	for _, m := range all {
		own, err := documents(string(f.deps.Region), m)
		if err != nil {
			return err
		}
		lines = append(lines, own...)
	}
	if len(lines) == 0 {
		return nil
	}
	err := f.guarded(func() error { return f.deps.Sink.Ingest(ctx, index, quickwit.Auto, lines) })
	if err == nil && f.deps.Observe != nil {
		f.deps.Observe.DocumentsWritten(index, len(lines))
	}
	return err
}

// guarded call of the sink. A refusal of documents is an answer: the breaker hears of none.
func (f *Feed) guarded(call func() error) error {
	var refused error
	err := f.deps.Guard.Do(func() error {
		err := call()
		if problem.Is(err, quickwit.ReasonRefused) {
			refused = err
			return nil
		}
		return err
	})
	if refused != nil {
		return refused
	}
	if err != nil && !away(err) { // the breaker's own word
		err = problem.Wrap(err, problem.Unavailable, quickwit.ReasonUnavailable, "Quickwit has not answered lately")
	}
	return err
}

// away tells whether an error says nothing of the documents: the sink is away or busy, or has lost its index.
func away(err error) bool {
	return problem.Is(err, quickwit.ReasonUnavailable) || problem.Is(err, quickwit.ReasonBusy) || problem.Is(err, quickwit.ReasonNoIndex)
}
