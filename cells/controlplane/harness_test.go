package controlplane

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	east = ident.Region("us-east-1")
	west = ident.Region("us-west-2")
	eu   = ident.Region("eu-central-1")
)

// fleet of two cells a region, as the local platform has.
func fleet() []topology.Cell {
	var all []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code()
		for _, letter := range []string{"a", "b"} {
			id := string(code) + "-" + letter
			all = append(all, topology.Cell{ID: id, Region: region, State: topology.Active, Weight: 100, Public: id + ":1", Internal: id + ":2", Admin: id + ":3"})
		}
	}
	return all
}

// world is the databases, and control planes on them.
type world struct {
	t                 *testing.T
	global, customers *sqldb.DB
	clock             *clock.Manual
	key               topology.SigningKey

	mu     sync.Mutex
	sights map[string]sight
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := topology.NewSigningKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, global: sqldbtest.New(t, sqldb.Global), customers: sqldbtest.New(t, sqldb.Customer), key: key,
		clock: clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)), sights: map[string]sight{},
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// plane is a control plane that does not run: a test says what it does, and when. With lead it believes that it leads.
func (w *world) plane(name string, lead bool, options ...func(*Deps)) *Service {
	w.t.Helper()
	deps := Deps{
		Global: w.global, Customers: w.customers, Key: w.key, Keys: topology.NewKeys(w.key.Public()), Primary: east, Name: name, Address: name + ":8090",
		Deployed: fleet(), Automation: true, CoolDown: 5 * time.Minute, Clock: w.clock, Log: slog.New(slog.DiscardHandler), probe: w.look,
	}
	for _, o := range options {
		o(&deps)
	}
	s := New(deps)
	s.leader.leads.Store(lead)
	return s
}

// leader that has begun.
func (w *world) leader() *Service {
	w.t.Helper()
	s := w.plane("one", true)
	w.must(s.beginOnce(w.t.Context()))
	return s
}

// look is the prober of a test.
func (w *world) look(_ context.Context, cell *topology.Cell) sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, set := w.sights[cell.ID]; set {
		return s
	}
	return ready
}

func (w *world) see(cell string, s sight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sights[cell] = s
}

func because(reason string) *topologyv1.Cause {
	return &topologyv1.Cause{Who: "an operator", Reason: reason}
}

func expectReason(t *testing.T, err error, reason string) {
	t.Helper()
	if !problem.Is(err, reason) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

// changes of the audit trail, the newest first.
func (w *world) changes(s *Service) []change {
	w.t.Helper()
	all, err := s.store.listChanges(w.t.Context(), 100)
	w.must(err)
	return all
}

// outcome of a call.
type outcome[A any] struct {
	answer A
	err    error
}

func of[A any](answer A, err error) outcome[A] { return outcome[A]{answer, err} }

// must be an answer.
func (o outcome[A]) must(t *testing.T) A {
	t.Helper()
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.answer
}

// assignAll slots of a ring to a cell.
func assignAll(ctx context.Context, w *world, ring ident.Region, cell string) error {
	all := make([]fence.Assignment, ident.Slots)
	for i := range all {
		all[i] = fence.Assignment{Slot: ident.Slot(i), Owner: cell, Epoch: 1}
	}
	return fence.Assign(ctx, w.customers, ring, w.clock.Now(), all)
}

func clearOverride(ctx context.Context, w *world, id ident.CustomerID) error {
	_, err := fence.SetOverride(ctx, w.customers, id, "", w.clock.Now())
	return err
}
