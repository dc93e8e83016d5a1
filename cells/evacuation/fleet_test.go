package evacuation

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	east = ident.Region("us-east-1")
	west = ident.Region("us-west-2")
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// fleet of a test: it makes maps of the slots' rows, as the control plane does.
type fleet struct {
	global, customers *sqldb.DB
	// offer of a new map to those who use it; may be nil. It must not wait.
	offer func(*topology.Map)

	mu     sync.Mutex
	cells  []topology.Cell
	rings  []ident.Region
	newest *topology.Map
	// spare owns, in maps, the slots that have no row.
	spare   uint16
	missing []string
	down    map[string]bool
	load    map[string]float64
	marks   []string
}

var _ Fleet = (*fleet)(nil)

// cellOf a region, with a weight of 100.
func cellOf(id string, region ident.Region) topology.Cell {
	return topology.Cell{ID: id, Region: region, State: topology.Active, Weight: 100, Public: "127.0.0.1:1", Internal: "127.0.0.1:2", Admin: "127.0.0.1:3"}
}

// newFleet gives the slots of each ring to the active cells of its region in equal shares, and publishes that.
func newFleet(t testing.TB, global, customers *sqldb.DB, cells ...topology.Cell) *fleet {
	t.Helper()
	return newFleetOf(t, global, customers, ident.Slots, cells...)
}

// newFleetOf has rows for the first slots of each ring only, so that reading them costs less. The last cell owns the others
// in maps; nobody is of those.
func newFleetOf(t testing.TB, global, customers *sqldb.DB, slots int, cells ...topology.Cell) *fleet {
	t.Helper()
	f := &fleet{global: global, customers: customers, cells: cells, down: map[string]bool{}, load: map[string]float64{}, spare: uint16(len(cells) - 1)}
	for _, region := range []ident.Region{east, west} {
		var own []string
		for _, c := range cells {
			if c.Region == region && c.State == topology.Active {
				own = append(own, c.ID)
			}
		}
		if len(own) == 0 {
			continue
		}
		f.rings = append(f.rings, region)
		all := make([]fence.Assignment, slots)
		for s := range all {
			all[s] = fence.Assignment{Slot: ident.Slot(s), Owner: own[s*len(own)/slots], Epoch: 1}
		}
		if err := fence.Assign(context.Background(), customers, region, noon, all); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Publish(context.Background(), Cause{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// Map implements Fleet.
func (f *fleet) Map() *topology.Map {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

// Mark implements Fleet.
func (f *fleet) Mark(ctx context.Context, states map[string]topology.State, _ Cause, wanted func(context.Context, sqldb.Tx) error) error {
	return f.global.InTx(ctx, func(tx sqldb.Tx) error {
		if err := wanted(ctx, tx); err != nil {
			return err
		}
		f.mark(states)
		return nil
	})
}

// mark cells without asking.
func (f *fleet) mark(states map[string]topology.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cells = slices.Clone(f.cells)
	for _, id := range slices.Sorted(maps.Keys(states)) {
		for i := range f.cells {
			if f.cells[i].ID == id && f.cells[i].State != states[id] {
				f.cells[i].State = states[id]
				f.marks = append(f.marks, id+" "+string(states[id]))
			}
		}
	}
}

// welcome a cell again that was evacuated.
func (f *fleet) welcome(t testing.TB, cell string) {
	t.Helper()
	f.mark(map[string]topology.State{cell: topology.Active})
	if _, err := f.Publish(context.Background(), Cause{}); err != nil {
		t.Fatal(err)
	}
}

// Publish implements Fleet. The version is read before the rows; a map is made only if none was made since.
func (f *fleet) Publish(ctx context.Context, _ Cause) (uint64, error) {
	for {
		f.mu.Lock()
		before, cells := f.newest, f.cells
		f.mu.Unlock()
		next, err := f.read(ctx, before, cells)
		if err != nil {
			return 0, err
		}
		f.mu.Lock()
		if f.newest != before {
			f.mu.Unlock()
			continue
		}
		if before != nil && len(topology.Diff(before, next)) == 0 {
			f.mu.Unlock()
			return before.Version, nil
		}
		f.newest = next
		offer := f.offer
		f.mu.Unlock()
		if offer != nil {
			offer(next)
		}
		return next.Version, nil
	}
}

func (f *fleet) read(ctx context.Context, before *topology.Map, cells []topology.Cell) (*topology.Map, error) {
	next := &topology.Map{Version: 1, Cells: cells}
	if before != nil {
		next.Version = before.Version + 1
	}
	var overrides []topology.Override
	for _, ring := range f.rings {
		rows, err := fence.ReadRing(ctx, f.customers, ring)
		if err != nil {
			return nil, err
		}
		r := topology.Ring{Region: ring}
		for s := range r.Slots {
			r.Slots[s] = topology.SlotOwner{Cell: f.spare, Epoch: 1}
		}
		for _, h := range rows {
			r.Slots[h.Slot] = topology.SlotOwner{Cell: indexOf(cells, h.Owner), Epoch: h.Epoch}
			for customer, cell := range h.Overrides {
				overrides = append(overrides, topology.Override{Customer: customer, Cell: indexOf(cells, cell)})
			}
		}
		next.Rings = append(next.Rings, r)
	}
	next.SetOverrides(overrides)
	return next, next.Validate()
}

func indexOf(cells []topology.Cell, id string) uint16 {
	return uint16(slices.IndexFunc(cells, func(c topology.Cell) bool { return c.ID == id }))
}

// Missing implements Fleet.
func (f *fleet) Missing(context.Context, uint64) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missing, nil
}

// Load implements Fleet.
func (f *fleet) Load(cell string) (float64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	load, known := f.load[cell]
	return load, known
}

// Serves implements Fleet.
func (f *fleet) Serves(cell string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.down[cell]
}

func (f *fleet) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// owners of a ring by its rows.
func owners(t testing.TB, customers *sqldb.DB, ring ident.Region) (owner [ident.Slots]string, epoch [ident.Slots]uint64) {
	t.Helper()
	rows, err := fence.ReadRing(context.Background(), customers, ring)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range rows {
		owner[h.Slot], epoch[h.Slot] = h.Owner, h.Epoch
	}
	return owner, epoch
}
