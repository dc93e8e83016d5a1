package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const home = ident.Region("us-east-1")

var (
	errFault   = errors.New("a part of the platform does not answer")
	errRefusal = problem.New(problem.Precondition, "OUT_OF_STOCK", "none left")
)

// world is what the steps of a trip change: bookings. Booking or cancelling twice is as once, which is the law that
// every definition keeps.
type world struct {
	mu     sync.Mutex
	booked map[string]bool
	log    []string
	tries  map[string]int
	// before and after the effect of "do a", "undo b" and so on they may answer an error: nothing has happened then, or
	// everything has and the answer is lost. The number counts the tries from 1.
	before, after map[string]func(ctx context.Context, try int) error
}

func newWorld() *world {
	return &world{booked: map[string]bool{}, tries: map[string]int{},
		before: map[string]func(context.Context, int) error{}, after: map[string]func(context.Context, int) error{}}
}

// once answers an error to the first try.
func once(err error) func(context.Context, int) error {
	return func(_ context.Context, try int) error {
		if try == 1 {
			return err
		}
		return nil
	}
}

func always(err error) func(context.Context, int) error {
	return func(context.Context, int) error { return err }
}

func (w *world) act(ctx context.Context, verb, step, cell string) error {
	w.mu.Lock()
	what := verb + " " + step
	w.tries[what]++
	try, before, after := w.tries[what], w.before[what], w.after[what]
	w.log = append(w.log, strings.TrimSpace(cell+" "+what))
	w.mu.Unlock()
	if before != nil {
		if err := before(ctx, try); err != nil {
			return err
		}
	}
	w.mu.Lock()
	if w.booked[step] = verb == "do"; verb == "undo" {
		delete(w.booked, step)
	}
	w.mu.Unlock()
	if after != nil {
		return after(ctx, try)
	}
	return nil
}

func (w *world) history() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, ", ")
}

func (w *world) bookings() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for step := range w.booked {
		all = append(all, step)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// trip books a, b and c. Its state is a text of what was done and why it was given up.
func trip(w *world, cell string) *Definition { return tripOf(w, cell, "a", "b", "c") }

func tripOf(w *world, cell string, steps ...string) *Definition {
	d := &Definition{Kind: "trip", NewState: func() proto.Message { return &wrapperspb.StringValue{} },
		Refused: func(s proto.Message, cause error) { note(s, "refused:"+reason(cause)) }}
	for _, name := range steps {
		d.Steps = append(d.Steps, Step{
			Name: name,
			Do: func(ctx context.Context, s proto.Message) error {
				note(s, name)
				return w.act(ctx, "do", name, cell)
			},
			Undo: func(ctx context.Context, _ proto.Message) error { return w.act(ctx, "undo", name, cell) },
		})
	}
	return d
}

// note a word in a state, once.
func note(s proto.Message, word string) {
	text := s.(*wrapperspb.StringValue) //nolint:forcetypeassert // NewState makes nothing else
	if !slices.Contains(strings.Fields(text.Value), word) {
		text.Value = strings.TrimSpace(text.Value + " " + word)
	}
}

func textOf(s proto.Message) string { return s.(*wrapperspb.StringValue).GetValue() } //nolint:forcetypeassert // as above

// platform is one database with a clock, on which engines of several cells run.
type platform struct {
	t        *testing.T
	db       *sqldb.DB
	fence    fence.Fence
	clock    *clock.Manual
	customer ident.CustomerID
	// version of the map.
	version *atomic.Uint64
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Customer)
	f := fencetest.Owner(db, home)
	return &platform{t: t, db: db, fence: f, clock: clock.NewManual(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)), customer: f.MintCustomer(), version: &atomic.Uint64{}}
}

// engine of a cell, under the map that is held.
func (p *platform) engine(cell string, d *Definition) *Engine {
	return New(Deps{DB: p.db, Fence: p.fence, Clock: p.clock, Log: slog.New(slog.DiscardHandler), Cell: cell,
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{home}, p.version.Load() }, Definitions: []*Definition{d}})
}

func (p *platform) begin(e *Engine, id string) Ticket {
	p.t.Helper()
	var ticket Ticket
	err := p.fence.InSlotTx(p.t.Context(), p.customer, func(tx sqldb.Tx) (err error) {
		ticket, err = e.Begin(p.t.Context(), tx, "trip", Begun{ID: id, CustomerID: p.customer, State: &wrapperspb.StringValue{}})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return ticket
}

func (p *platform) get(id string) Instance {
	p.t.Helper()
	in, err := New(Deps{DB: p.db}).Get(p.t.Context(), home, id)
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

// expect how a saga stands in the database.
func (p *platform) expect(id string, want Status, step string) Instance {
	p.t.Helper()
	in := p.get(id)
	if in.Status != want || in.Step != step {
		p.t.Errorf("saga %s is %s at %q, want %s at %q", id, in.Status, in.Step, want, step)
	}
	return in
}

// timeFlies advances the clock whenever somebody waits, until the test ends.
func (p *platform) timeFlies() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.clock.AwaitSleepers(ctx, 1) == nil {
			p.clock.Advance(2 * maxBackoff)
		}
	}()
	p.t.Cleanup(func() { cancel(); <-done })
}

// sweep until nothing is due any more, however far in the future; it returns how many runs it took.
func (p *platform) sweepToTheEnd(e *Engine) (runs int) {
	p.t.Helper()
	for {
		p.clock.Advance(2 * maxBackoff)
		n, err := e.Sweep(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		if runs += n; n == 0 {
			return runs
		}
	}
}

func (w *world) expect(t *testing.T, history, bookings string) {
	t.Helper()
	if got := w.history(); got != history {
		t.Errorf("history\n got %s\nwant %s", got, history)
	}
	if got := w.bookings(); got != bookings {
		t.Errorf("booked %q, want %q", got, bookings)
	}
}

func verbs(verb string, steps ...string) []string {
	var all []string
	for _, s := range steps {
		all = append(all, fmt.Sprint(verb, " ", s))
	}
	return all
}
