package topology

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// State of a cell.
type State string

// The states.
const (
	// Active cells own slots and serve.
	Active State = "active"
	// Draining cells serve what they still own and get nothing new.
	Draining State = "draining"
	// Evacuated cells own nothing and are not to be asked.
	Evacuated State = "evacuated"
	// Quarantined cells are held apart for people to look at.
	Quarantined State = "quarantined"
	// Canary cells serve a small share, to show that what is new there works.
	Canary State = "canary"
)

// states in the order of their numbers in a snapshot: a new one goes to the end.
var states = []State{Active, Draining, Evacuated, Quarantined, Canary}

// Cell is one full service set.
type Cell struct {
	ID     string
	Region ident.Region
	State  State
	// Weight is the cell's share of a ring, relative to the others'.
	Weight int
	// Capacity is how many requests a second the cell can carry; 0 when nobody has said.
	Capacity int
	// Public is the address that routers use, Internal that of other cells, Admin that of probes; host:port.
	Public   string
	Internal string
	Admin    string
}

// Serves tells whether a cell may be asked at all.
func (c *Cell) Serves() bool { return c.State == Active || c.State == Draining || c.State == Canary }

// SlotOwner is who owns a slot.
type SlotOwner struct {
	// Cell is an index into Map.Cells.
	Cell uint16
	// Overridden says that Map.Overrides has customers of this slot.
	Overridden bool
	Epoch      uint64
}

// Override has one customer served by another cell than the owner of the slot. Any change of a slot's overrides is a new
// epoch of the slot.
type Override struct {
	Customer ident.CustomerID
	// Cell is an index into Map.Cells.
	Cell uint16
}

// Ring is the key space of the customers homed in a region.
type Ring struct {
	Region ident.Region
	Slots  [ident.Slots]SlotOwner
}

// Map is one snapshot. It is not changed once it is shared.
type Map struct {
	Version uint64
	Cells   []Cell
	Rings   []Ring
	// Overrides by customer, ascending; SetOverrides puts them in.
	Overrides []Override
}

// Limits of a map: what a region of the largest cloud would need, and what a router can still hold in its cache. Overrides
// are for single customers with trouble; whoever needs more of them wants to move a slot.
const (
	maxCells     = 1024
	maxRings     = 64
	MaxOverrides = 512
	// maxName bounds a cell's id and its region, maxAddress an address: the longest name that DNS has, and a port.
	maxName    = 64
	maxAddress = 255
)

// ring of a region; nil when there is none.
func (m *Map) ring(region ident.Region) *Ring {
	if i := m.ringIndex(region); i >= 0 {
		return &m.Rings[i]
	}
	return nil
}

// ringIndex of a region; negative when it has no ring. Rings are too big to be handed to a func of slices.
func (m *Map) ringIndex(region ident.Region) int {
	for i := range m.Rings {
		if m.Rings[i].Region == region {
			return i
		}
	}
	return -1
}

// OwnerOf a customer, with the epoch of the slot; false when the map has no such ring. It does not allocate.
func (m *Map) OwnerOf(id ident.CustomerID) (cell *Cell, epoch uint64, ok bool) {
	r := m.ring(id.Region())
	if r == nil {
		return nil, 0, false
	}
	o := &r.Slots[id.Slot()]
	if o.Overridden {
		if at, found := m.override(id); found {
			return &m.Cells[m.Overrides[at].Cell], o.Epoch, true
		}
	}
	return &m.Cells[o.Cell], o.Epoch, true
}

func (m *Map) override(id ident.CustomerID) (at int, found bool) {
	return slices.BinarySearchFunc(m.Overrides, id, func(o Override, id ident.CustomerID) int { return cmp.Compare(o.Customer, id) })
}

// SetOverrides of a map that is not shared yet, in any order.
func (m *Map) SetOverrides(overrides []Override) {
	m.Overrides = slices.SortedFunc(slices.Values(overrides), func(a, b Override) int { return cmp.Compare(a.Customer, b.Customer) })
	for i := range m.Rings {
		for s := range m.Rings[i].Slots {
			m.Rings[i].Slots[s].Overridden = false
		}
	}
	for _, o := range m.Overrides {
		if r := m.ring(o.Customer.Region()); r != nil {
			r.Slots[o.Customer.Slot()].Overridden = true
		}
	}
}

// OverridesTo a cell: the customers that it serves though it does not own their slots.
func (m *Map) OverridesTo(cell string) []ident.CustomerID {
	var ids []ident.CustomerID
	for _, o := range m.Overrides {
		if m.Cells[o.Cell].ID == cell {
			ids = append(ids, o.Customer)
		}
	}
	return ids
}

// Owner implements fence.Owners.
func (m *Map) Owner(id ident.CustomerID) (cell string, epoch uint64, ok bool) {
	c, epoch, ok := m.OwnerOf(id)
	if !ok {
		return "", 0, false
	}
	return c.ID, epoch, true
}

// Cell by its id; nil when there is none.
func (m *Map) Cell(id string) *Cell {
	for i := range m.Cells {
		if m.Cells[i].ID == id {
			return &m.Cells[i]
		}
	}
	return nil
}

// CellsOf a region that may be asked.
func (m *Map) CellsOf(region ident.Region) []*Cell {
	var cells []*Cell
	for i := range m.Cells {
		if c := &m.Cells[i]; c.Region == region && c.Serves() {
			cells = append(cells, c)
		}
	}
	return cells
}

// SlotsOf a cell in each ring, ascending.
func (m *Map) SlotsOf(cell string) map[ident.Region][]int16 {
	owned := map[ident.Region][]int16{}
	for i := range m.Rings {
		r := &m.Rings[i]
		for s := range r.Slots {
			if m.Cells[r.Slots[s].Cell].ID == cell {
				owned[r.Region] = append(owned[r.Region], int16(s))
			}
		}
	}
	return owned
}

// Clone of a map, to be changed before it is shared.
func (m *Map) Clone() *Map {
	return &Map{Version: m.Version, Cells: slices.Clone(m.Cells), Rings: slices.Clone(m.Rings), Overrides: slices.Clone(m.Overrides)}
}

// SlotRun is neighbouring slots with one owner and one epoch.
type SlotRun struct {
	// From and To are slots; both belong to the run.
	From, To int
	// Owner is a cell's id.
	Owner string
	Epoch uint64
}

// Runs of a region's ring, ascending, as few as there can be; none when the map has no such ring.
func (m *Map) Runs(region ident.Region) []SlotRun {
	r := m.ring(region)
	if r == nil {
		return nil
	}
	var runs []SlotRun
	for s, o := range r.Slots {
		if s > 0 && o.Cell == r.Slots[s-1].Cell && o.Epoch == r.Slots[s-1].Epoch {
			runs[len(runs)-1].To = s
			continue
		}
		runs = append(runs, SlotRun{From: s, To: s, Owner: m.Cells[o.Cell].ID, Epoch: o.Epoch})
	}
	return runs
}

// index of a cell by its id; negative when there is none.
func (m *Map) index(id string) int {
	return slices.IndexFunc(m.Cells, func(c Cell) bool { return c.ID == id })
}

// Validate everything that a reader relies on.
func (m *Map) Validate() error {
	if m.Version == 0 {
		return errors.New("topology: a map has a version from 1")
	}
	if len(m.Cells) == 0 || len(m.Cells) > maxCells || len(m.Rings) == 0 || len(m.Rings) > maxRings {
		return fmt.Errorf("topology: a map has 1 to %d cells and 1 to %d rings", maxCells, maxRings)
	}
	named := make(map[string]bool, len(m.Cells))
	for i := range m.Cells {
		if err := m.Cells[i].validate(); err != nil {
			return err
		}
		if named[m.Cells[i].ID] {
			return fmt.Errorf("topology: two cells are named %s", m.Cells[i].ID)
		}
		named[m.Cells[i].ID] = true
	}
	for i := range m.Rings {
		if err := m.validateRing(i); err != nil {
			return err
		}
	}
	return m.validateOverrides()
}

func (m *Map) validateOverrides() error {
	if len(m.Overrides) > MaxOverrides {
		return fmt.Errorf("topology: a map has at most %d overrides", MaxOverrides)
	}
	overridden := map[*SlotOwner]bool{}
	for i, o := range m.Overrides {
		if _, err := ident.Parse(string(o.Customer)); err != nil {
			return fmt.Errorf("topology: an override of %q: %w", o.Customer, err)
		}
		if i > 0 && m.Overrides[i-1].Customer >= o.Customer {
			return fmt.Errorf("topology: the overrides are not in order at %s", o.Customer)
		}
		r := m.ring(o.Customer.Region())
		if r == nil || int(o.Cell) >= len(m.Cells) {
			return fmt.Errorf("topology: the override of %s names no ring or no cell", o.Customer)
		}
		overridden[&r.Slots[o.Customer.Slot()]] = true
	}
	for i := range m.Rings {
		for s := range m.Rings[i].Slots {
			if o := &m.Rings[i].Slots[s]; o.Overridden != overridden[o] {
				return fmt.Errorf("topology: slot %d of %s is marked wrongly as overridden", s, m.Rings[i].Region)
			}
		}
	}
	return nil
}

func (m *Map) validateRing(i int) error {
	r := &m.Rings[i]
	if _, ok := r.Region.Code(); !ok {
		return fmt.Errorf("topology: %q has no ring", r.Region)
	}
	if m.ring(r.Region) != r {
		return fmt.Errorf("topology: two rings of %s", r.Region)
	}
	for s, o := range r.Slots {
		if int(o.Cell) >= len(m.Cells) || o.Epoch == 0 {
			return fmt.Errorf("topology: slot %d of %s has no owner or no epoch", s, r.Region)
		}
	}
	return nil
}

func (c *Cell) validate() error {
	if c.ID == "" || len(c.ID) > maxName || c.Region == "" || len(c.Region) > maxName {
		return fmt.Errorf("topology: a cell has an id and a region of 1 to %d characters", maxName)
	}
	if !slices.Contains(states, c.State) {
		return fmt.Errorf("topology: cell %s has the unknown state %q", c.ID, c.State)
	}
	if c.Weight < 0 || c.Weight > 10_000 {
		return fmt.Errorf("topology: the weight of cell %s is not 0 to 10,000", c.ID)
	}
	if c.Capacity < 0 || c.Capacity > 10_000_000 {
		return fmt.Errorf("topology: the capacity of cell %s is not 0 to 10,000,000 requests a second", c.ID)
	}
	for _, address := range []string{c.Public, c.Internal, c.Admin} {
		if !isHostPort(address) {
			return fmt.Errorf("topology: cell %s: address %q is no host:port", c.ID, address)
		}
	}
	return nil
}

func isHostPort(address string) bool {
	_, _, err := net.SplitHostPort(address)
	return err == nil && len(address) <= maxAddress
}

// Even gives every ring's slots to the active cells of its region in equal shares, at epoch 1. A region without a
// cell is an error.
func Even(cells []Cell) (*Map, error) {
	m := &Map{Version: 1, Cells: cells}
	for _, region := range ident.Regions() {
		var own []uint16
		for i := range cells {
			if cells[i].Region == region && cells[i].State == Active {
				own = append(own, uint16(i))
			}
		}
		if len(own) == 0 {
			return nil, fmt.Errorf("topology: %s has no active cell", region)
		}
		r := Ring{Region: region}
		for s := range r.Slots {
			r.Slots[s] = SlotOwner{Cell: own[s*len(own)/ident.Slots], Epoch: 1}
		}
		m.Rings = append(m.Rings, r)
	}
	return m, m.Validate()
}
