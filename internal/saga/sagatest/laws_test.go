package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/saga/sagatest"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

// desk books trips: units of each booking, by trip and step.
type desk struct {
	db       *sqldb.DB
	fence    fence.Fence
	clock    *clock.Manual
	customer ident.CustomerID

	mu     sync.Mutex
	booked map[string]int
	trips  int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Customer)
	f := fencetest.Owner(db, "us-east-1")
	return &desk{db: db, fence: f, clock: clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)), customer: f.MintCustomer(), booked: map[string]int{}}
}

func (d *desk) engine(def *saga.Definition) *saga.Engine {
	return saga.New(saga.Deps{DB: d.db, Fence: d.fence, Clock: d.clock, Log: slog.New(slog.DiscardHandler), Cell: "use1-a", Definitions: []*saga.Definition{def},
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{"us-east-1"}, 1 }})
}

// trip books a flight, a hotel and a car; once there is a car, there is no way back. The state is its id.
func (d *desk) trip() *saga.Definition {
	def := &saga.Definition{Kind: "trip", NewState: func() proto.Message { return &wrapperspb.StringValue{} }, Refused: func(proto.Message, error) {}}
	for _, name := range []string{"flight", "hotel", "car"} {
		set := func(units int) func(context.Context, proto.Message) error {
			return func(_ context.Context, m proto.Message) error {
				d.set(m, name, units)
				return nil
			}
		}
		def.Steps = append(def.Steps, saga.Step{Name: name, Do: set(1), Undo: set(0), Quiet: name == "flight", Forward: name == "car"})
	}
	return def
}

func (d *desk) set(m proto.Message, name string, units int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := m.(*wrapperspb.StringValue).GetValue() + " " + name //nolint:forcetypeassert // NewState makes nothing else
	if d.booked[key] = units; units == 0 {
		delete(d.booked, key)
	}
}

func (d *desk) bookings(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, key := range slices.Sorted(maps.Keys(d.booked)) {
		if name, ok := strings.CutPrefix(key, id+" "); ok {
			all = append(all, fmt.Sprint(d.booked[key], name))
		}
	}
	return strings.Join(all, " ")
}

func (d *desk) harness(def *saga.Definition) sagatest.Harness {
	expect := func(want string) func(context.Context, string) error {
		return func(_ context.Context, id string) error {
			if got := d.bookings(id); got != want {
				return fmt.Errorf("it has booked %q", got)
			}
			return nil
		}
	}
	return sagatest.Harness{
		Definition: def, Complete: expect("1car 1flight 1hotel"), Clean: expect(""),
		Begin: func(ctx context.Context) (string, error) {
			d.trips++
			id := fmt.Sprint("trip-", d.trips)
			return id, d.fence.InSlotTx(ctx, d.customer, func(tx sqldb.Tx) error {
				_, err := d.engine(def).Begin(ctx, tx, "trip", saga.Begun{ID: id, CustomerID: d.customer, State: wrapperspb.String(id)})
				return err
			})
		},
		Run: func(ctx context.Context, def *saga.Definition, id string) (saga.Status, error) {
			e := d.engine(def)
			for range 10 {
				d.clock.Advance(time.Minute)
				if _, err := e.Sweep(ctx); err != nil {
					return "", err
				}
				in, err := e.Get(ctx, "us-east-1", id)
				if err != nil || in.Status.Ended() {
					return in.Status, err
				}
			}
			return "", errors.New("it never ends")
		},
	}
}

func TestATripKeepsTheLaws(t *testing.T) {
	d := newDesk(t)
	sagatest.Laws(t, d.harness(d.trip()))
}

// broken trips, and the law that each of them breaks.
func TestADefinitionThatBreaksALawIsFound(t *testing.T) {
	d := newDesk(t)
	add := func(name string, units int) func(context.Context, proto.Message) error {
		return func(_ context.Context, m proto.Message) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			key := m.(*wrapperspb.StringValue).GetValue() + " " + name //nolint:forcetypeassert // NewState makes nothing else
			if d.booked[key] += units; d.booked[key] == 0 {
				delete(d.booked, key)
			}
			return nil
		}
	}
	for want, spoil := range map[string]func([]saga.Step){
		"flight is done twice":                    func(s []saga.Step) { s[0].Do = add("flight", 1) },
		"car is done again from the state before": func(s []saga.Step) { s[2].Do = add("car", 1) },
		"hotel is undone twice":                   func(s []saga.Step) { s[1].Undo = add("hotel", -1) },
		"hotel is refused before it is done":      func(s []saga.Step) { s[1].Undo = add("hotel", -1) },
		"hotel is refused after it is done":       func(s []saga.Step) { s[1].Undo = nil },
		"flight fails once after it is undone":    func(s []saga.Step) { s[0].Undo = add("flight", -1) },
	} {
		def := d.trip()
		spoil(def.Steps)
		h := d.harness(def)
		var broken []string
		for _, c := range sagatest.Cases(def, "") {
			if h.Try(t.Context(), c) != nil {
				broken = append(broken, c.Name)
			}
		}
		if !slices.Contains(broken, want) {
			t.Errorf("%s: found are only %q", want, broken)
		}
	}
}
