package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/quickwit"
	"github.com/cellar-commerce/cellar/internal/quickwit/quickwittest"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const home = ident.Region("us-east-1")

// world of a region with a broker, a Quickwit, and cells that feed it.
type world struct {
	t        *testing.T
	bus      *bus.Bus
	broker   string
	db       *sqldb.DB
	quickwit *quickwittest.Fake
	clock    *clock.Manual

	mu      sync.Mutex
	letters map[string]string // reasons, by the message's id
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, broker: bustest.Start(t), db: sqldbtest.New(t, sqldb.Regional), quickwit: quickwittest.Start(t), clock: clock.NewManual(time.Now()),
		letters: map[string]string{},
	}
	w.bus = w.connect()
	if err := w.bus.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) connect() *bus.Bus {
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: w.broker}, Name: w.t.Name(), Log: slog.New(slog.DiscardHandler), Tries: 2, Bury: w.bury})
	w.t.Cleanup(b.Close)
	return b
}

func (w *world) bury(_ context.Context, d bus.DeadLetter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letters[d.Message.ID] = d.Reason
	return nil
}

func (w *world) buried() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id := range w.letters {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (w *world) deps(cell string) Deps {
	client, err := quickwit.New(quickwit.Config{BaseURL: w.quickwit.URL()})
	if err != nil {
		w.t.Fatal(err)
	}
	return Deps{
		Bus: w.connect(), Sink: client, Guard: breaker.NewOne("quickwit", nil), DB: w.db, Region: home, Cell: cell, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	}
}

// run a cell's feed until the returned function, or the test's end, stops it.
func (w *world) run(deps Deps) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); New(deps).Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// patience of a test: far longer than anything takes, so that only a defect ends it.
const patience = 60 * time.Second

// await a state, while time flies.
func (w *world) await(what string, reached func() bool) {
	w.t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !reached() {
		w.clock.Advance(time.Second)
		select {
		case <-tick.C:
		case <-late:
			w.t.Fatalf("it never came about: %s", what)
		}
	}
}

func (w *world) publish(all ...bus.Message) {
	w.t.Helper()
	for part := range slices.Chunk(all, 500) {
		if err := w.bus.Publish(w.t.Context(), home, part); err != nil {
			w.t.Fatal(err)
		}
	}
}

func message(id, subject string, payload proto.Message) bus.Message {
	data, err := proto.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return bus.Message{ID: id, Subject: subject, Data: data}
}

var noon = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// parcels that were shipped.
func parcels(from, to int) (all []bus.Message) {
	for i := from; i < to; i++ {
		all = append(all, message(fmt.Sprintf("parcel/%04d", i), "order.use1.shipped", &fulfillmentv1.ShipmentShipped{OrderId: fmt.Sprint("use1-", i), ShippedAt: timestamppb.New(noon)}))
	}
	return all
}

// ids of an index's documents, sorted, each once, and how many twins there are.
func (w *world) ids(index string) (ids []string, twins int) {
	all := w.quickwit.Documents(index)
	for _, d := range all {
		ids = append(ids, d["id"].(string))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids, len(all) - len(ids)
}

func (w *world) awaitOrders(n int) {
	w.t.Helper()
	w.await(fmt.Sprint(n, " orders' events are written"), func() bool { ids, _ := w.ids("cellar-orders"); return len(ids) >= n })
}
