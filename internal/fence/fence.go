package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// ReasonWrongCell is the reason of the typed redirect; its detail is a problemv1.WrongCell.
const ReasonWrongCell = "WRONG_CELL"

// Fence guards the rows of customers.
type Fence interface {
	// InSlotTx runs fn in a transaction of cellar_customer in which this cell owns the customer's slot until the
	// commit. WRONG_CELL when it does not; fn has not run then. fn may run several times.
	InSlotTx(ctx context.Context, id ident.CustomerID, fn func(tx sqldb.Tx) error) error
	// Send a batch as one transaction of cellar_customer in which this cell owns the customer's slot: InSlotTx in a single
	// round trip. WRONG_CELL when it does not. What SendLast says of the batch's funcs holds; what else must be so, a guard
	// has to say (sqldb.GuardFailed).
	Send(ctx context.Context, id ident.CustomerID, b *sqldb.Batch) error
	// Join writes parts as Send does a batch, in a transaction that it shares with others who join at the same time. When ctx
	// ends first the parts may be written or not.
	Join(ctx context.Context, id ident.CustomerID, parts ...Part) error
	// Check refuses with WRONG_CELL when another cell serves the customer: by the map, and then by the slot's row too, for
	// the map may not have followed yet.
	Check(ctx context.Context, id ident.CustomerID) error
	// Mine tells whether this cell serves the customer by the map alone, which is cheap: to choose what to work on.
	Mine(id ident.CustomerID) bool
	// MintCustomer makes a customer id in a slot that this cell owns.
	MintCustomer() ident.CustomerID
	// MintGuest makes a guest id in a slot that this cell owns.
	MintGuest() ident.CustomerID
}

// Owners is what the map knows.
type Owners interface {
	// Owner of a customer's slot; false when the map names none.
	Owner(id ident.CustomerID) (cell string, epoch uint64, ok bool)
}

// Deps of a SlotFence.
type Deps struct {
	// DB is cellar_customer. Without it nothing can be written, and a check takes the map's word.
	DB *sqldb.DB
	// Cell is the id of this cell.
	Cell string
	// Region of this cell: new customers are homed here.
	Region ident.Region
	// Owners answers from the map.
	Owners Owners
	// Overridden tells whether the map has the customer served by another cell than the owner of the slot; nil is never.
	Overridden func(ident.CustomerID) bool
	// Lanes of a ring, with one shared transaction under way in each; 0 is two.
	Lanes int
}

// SlotFence is the Fence of one cell.
type SlotFence struct {
	deps Deps
	ring ident.RingCode

	mu    sync.Mutex
	lanes map[ident.Region][]*lane
	apart chan struct{} // one for each join that is tried by itself
}

var _ Fence = (*SlotFence)(nil)

// New fence of a cell. The region must have a ring.
func New(deps Deps) (*SlotFence, error) {
	if deps.Overridden == nil {
		deps.Overridden = func(ident.CustomerID) bool { return false }
	}
	deps.Lanes = cmp.Or(deps.Lanes, usualLanes)
	ring, ok := deps.Region.Code()
	if !ok {
		return nil, fmt.Errorf("fence: region %q has no ring", deps.Region)
	}
	return &SlotFence{deps: deps, ring: ring, lanes: map[ident.Region][]*lane{}, apart: make(chan struct{}, maxApart)}, nil
}

// InSlotTx implements Fence.
func (f *SlotFence) InSlotTx(ctx context.Context, id ident.CustomerID, fn func(tx sqldb.Tx) error) error {
	if _, err := homeOf(id); err != nil {
		return err
	}
	return f.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		o, err := readSlot(ctx, tx, stmtLockSlot, id)
		if err != nil {
			return err
		}
		if o.cell != f.deps.Cell {
			return wrongCell(id, o)
		}
		return fn(tx)
	})
}

// Send implements Fence.
func (f *SlotFence) Send(ctx context.Context, id ident.CustomerID, b *sqldb.Batch) error {
	region, err := homeOf(id)
	if err != nil {
		return err
	}
	err = f.deps.DB.Send(ctx, b.After(stmtGuard, string(region), int16(id.Slot()), f.deps.Cell, string(id)))
	if !refusedBy(stmtGuard, err) {
		return err
	}
	return f.sendLocked(ctx, id, b)
}

// homeOf a customer. The id is looked at closely: a guard takes it for one, and many of them in a list.
func homeOf(id ident.CustomerID) (ident.Region, error) {
	if _, err := parse(string(id)); err != nil {
		return "", err
	}
	return id.Region(), nil
}

// refusedBy tells whether it is this guard that has refused a batch, and not one of the batch's own.
func refusedBy(guard *sqldb.Statement, err error) bool {
	return sqldb.GuardFailed(err) && sqldb.FailedIn(err, guard)
}

// sendLocked sends what a guard has refused, or says where to send it instead: the owner is looked up under the lock, because
// the customer may have come back since the guard looked.
func (f *SlotFence) sendLocked(ctx context.Context, id ident.CustomerID, b *sqldb.Batch) error {
	return f.InSlotTx(ctx, id, func(tx sqldb.Tx) error { return tx.SendLast(ctx, b) })
}

// owned is who serves a customer.
type owned struct {
	cell  string
	epoch uint64 // of the slot
	// override: the cell serves this customer only, and need not own the slot.
	override bool
}

func readSlot(ctx context.Context, q sqldb.Querier, s *sqldb.Statement, id ident.CustomerID) (owned, error) {
	var o owned
	var override *string
	err := q.QueryRow(ctx, s, string(id.Region()), int16(id.Slot()), string(id)).Scan(&o.cell, &o.epoch, &override)
	if errors.Is(err, sqldb.ErrNoRows) {
		return owned{}, nil // a ring without slots: nobody owns it, so nobody writes
	}
	if override != nil {
		o.cell, o.override = *override, true
	}
	return o, err
}

// checkTime is how long a check waits for the row. What the map says is good enough, if the database does not answer.
const checkTime = 250 * time.Millisecond

// Check implements Fence. That the map gives a customer to this cell is not looked into: its writes are fenced. That it gives
// one to another cell is, since a slot that has just come here would be served by nobody until the next map. Should the map
// change between the looks at owner and override, whoever is sent to the wrong cell hears better there.
func (f *SlotFence) Check(ctx context.Context, id ident.CustomerID) error {
	owner, epoch, _ := f.deps.Owners.Owner(id)
	mapped := owned{owner, epoch, f.deps.Overridden(id)}
	if owner == f.deps.Cell {
		return nil
	}
	if f.deps.DB == nil {
		return wrongCell(id, mapped)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	o, err := readSlot(ctx, f.deps.DB, stmtReadSlot, id)
	switch {
	case err != nil || o.cell == "":
		return wrongCell(id, mapped)
	case o.cell == f.deps.Cell:
		return nil
	default:
		return wrongCell(id, o)
	}
}

// Mine implements Fence.
func (f *SlotFence) Mine(id ident.CustomerID) bool {
	owner, _, _ := f.deps.Owners.Owner(id)
	return owner == f.deps.Cell
}

// maxMints bounds the search for an id in a slot of ours. A cell with one slot in a thousand finds one in time; a cell
// without any gives up, and the write that follows redirects to the owner of whatever was made.
const maxMints = 8192

// MintCustomer implements Fence.
func (f *SlotFence) MintCustomer() ident.CustomerID { return f.mint(ident.NewCustomer) }

// MintGuest implements Fence.
func (f *SlotFence) MintGuest() ident.CustomerID { return f.mint(ident.NewGuest) }

func (f *SlotFence) mint(make func(ident.RingCode) ident.CustomerID) ident.CustomerID {
	var id ident.CustomerID
	for range maxMints {
		id = make(f.ring)
		if f.Mine(id) {
			break
		}
	}
	return id
}

func wrongCell(id ident.CustomerID, o owned) error {
	d := &problemv1.WrongCell{Ring: string(id.Region()), Slot: uint32(id.Slot()), Owner: o.cell, Epoch: o.epoch}
	if o.override {
		d.CustomerId = string(id)
	}
	return problem.New(problem.Unavailable, ReasonWrongCell, "another cell serves this customer", d)
}
