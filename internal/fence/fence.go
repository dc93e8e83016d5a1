package fence

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	// Check refuses with WRONG_CELL when the map says that another cell owns the customer's slot.
	Check(id ident.CustomerID) error
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
	// DB is cellar_customer.
	DB *sqldb.DB
	// Cell is the id of this cell.
	Cell string
	// Region of this cell: new customers are homed here.
	Region ident.Region
	// Owners answers from the map.
	Owners Owners
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
	ring, ok := deps.Region.Code()
	if !ok {
		return nil, fmt.Errorf("fence: region %q has no ring", deps.Region)
	}
	return &SlotFence{deps: deps, ring: ring, lanes: map[ident.Region][]*lane{}, apart: make(chan struct{}, maxApart)}, nil
}

// InSlotTx implements Fence.
func (f *SlotFence) InSlotTx(ctx context.Context, id ident.CustomerID, fn func(tx sqldb.Tx) error) error {
	region := id.Region()
	if region == "" {
		return problem.New(problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	return f.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		owner, epoch, err := lockSlot(ctx, tx, region, id.Slot())
		if err != nil {
			return err
		}
		if owner != f.deps.Cell {
			return wrongCell(region, id.Slot(), owner, epoch)
		}
		return fn(tx)
	})
}

// Send implements Fence.
func (f *SlotFence) Send(ctx context.Context, id ident.CustomerID, b *sqldb.Batch) error {
	region := id.Region()
	if region == "" {
		return problem.New(problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	err := f.deps.DB.Send(ctx, b.After(stmtGuard, string(region), int16(id.Slot()), f.deps.Cell))
	if !sqldb.GuardFailed(err) {
		return err
	}
	return f.whoseSlot(ctx, region, id.Slot(), err)
}

// whoseSlot finds out whose guard has failed: the fence's, which is WRONG_CELL, or one of the batch.
func (f *SlotFence) whoseSlot(ctx context.Context, ring ident.Region, slot ident.Slot, failed error) error {
	owner, epoch, err := readSlot(ctx, f.deps.DB, stmtReadSlot, ring, slot)
	if err != nil {
		return err
	}
	if owner != f.deps.Cell {
		return wrongCell(ring, slot, owner, epoch)
	}
	return failed
}

func lockSlot(ctx context.Context, tx sqldb.Tx, ring ident.Region, slot ident.Slot) (owner string, epoch uint64, err error) {
	return readSlot(ctx, tx, stmtLockSlot, ring, slot)
}

func readSlot(ctx context.Context, q sqldb.Querier, s *sqldb.Statement, ring ident.Region, slot ident.Slot) (owner string, epoch uint64, err error) {
	err = q.QueryRow(ctx, s, string(ring), int16(slot)).Scan(&owner, &epoch)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", 0, nil // a ring without slots: nobody owns it, so nobody writes
	}
	return owner, epoch, err
}

// Check implements Fence.
func (f *SlotFence) Check(id ident.CustomerID) error {
	owner, epoch, _ := f.deps.Owners.Owner(id)
	if owner == f.deps.Cell {
		return nil
	}
	return wrongCell(id.Region(), id.Slot(), owner, epoch)
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
		if owner, _, _ := f.deps.Owners.Owner(id); owner == f.deps.Cell {
			break
		}
	}
	return id
}

func wrongCell(ring ident.Region, slot ident.Slot, owner string, epoch uint64) error {
	return problem.New(problem.Unavailable, ReasonWrongCell, "another cell serves this customer",
		&problemv1.WrongCell{Ring: string(ring), Slot: uint32(slot), Owner: owner, Epoch: epoch})
}
