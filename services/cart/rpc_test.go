package cart

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestABadFieldOfACommandIsNamed(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		field string
		err   error
	}{
		"add no sku":             {"sku", w.add(id, "", 1)},
		"add a long sku":         {"sku", w.add(id, long, 1)},
		"add less than nothing":  {"quantity", w.add(id, "ale", -1)},
		"add 1,000":              {"quantity", w.add(id, "ale", 1000)},
		"set no sku":             {"sku", w.set(id, "", 1)},
		"set a long sku":         {"sku", w.set(id, long, 0)},
		"set less than nothing":  {"quantity", w.set(id, "ale", -1)},
		"set 1,000":              {"quantity", w.set(id, "ale", 1000)},
		"buy nothing":            {"ordered", w.bought(id, newOrder())},
		"buy 201 lines":          {"ordered", w.bought(id, newOrder(), slices.Repeat([]any{"ale", 1}, 201)...)},
		"buy no sku":             {"ordered[1].sku", w.bought(id, newOrder(), "ale", 1, "", 1)},
		"buy a long sku":         {"ordered[0].sku", w.bought(id, newOrder(), long, 1)},
		"buy none of a product":  {"ordered[1].quantity", w.bought(id, newOrder(), "ale", 1, "port", 0)},
		"buy 1,000 of a product": {"ordered[0].quantity", w.bought(id, newOrder(), "ale", 1000)},
		"remove no sku":          {"sku", w.removed(id, "")},
		"remove a long sku":      {"sku", w.removed(id, long)},
	} {
		t.Run(name, func(t *testing.T) { refusesField(t, c.err, c.field) })
	}
	if got := rowsOf(t, w.db, id); got != "" {
		t.Errorf("what was refused left rows: %s", got)
	}
}

func TestAControlCharacterInAProductIsRefused(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	const sku = "a\x00" // PostgreSQL stores none, so that it must not come that far
	for _, err := range []error{w.add(id, sku, 1), w.set(id, sku, 1), w.set(id, sku, 0), w.removed(id, sku)} {
		refusesField(t, err, "sku")
	}
	refusesField(t, w.bought(id, newOrder(), sku, 1), "ordered[0].sku")
}

func newOrder() ident.OrderID { return ident.NewOrder("use1") }

func (w world) removed(id ident.CustomerID, sku string) error {
	_, err := w.RemoveItem(as(id), &cartv1.RemoveItemRequest{Sku: sku})
	return err
}

func TestTheLongestNameAndTheMostLinesArePassed(t *testing.T) {
	w, id, sku := newWorld(t), newCustomer(), strings.Repeat("x", 64)
	w.shelf.price(sku, 1)
	must(t, w.add(id, sku, 999), w.bought(id, newOrder(), slices.Repeat([]any{sku, 4}, 200)...))
	same(t, "left", w.quantities(t, id), sku+"×199")
}

func TestWithoutASessionNothingIsShownOrChanged(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, get := w.GetCart(ctx, &cartv1.GetCartRequest{})
	_, add := w.AddItem(ctx, &cartv1.AddItemRequest{Sku: "ale"})
	_, set := w.SetQuantity(ctx, &cartv1.SetQuantityRequest{Sku: "ale", Quantity: 1})
	_, remove := w.RemoveItem(ctx, &cartv1.RemoveItemRequest{Sku: "ale"})
	for _, err := range []error{get, add, set, remove} {
		refused(t, err, problem.Unauthenticated, "SESSION_REQUIRED")
	}
}

func TestAMalformedCustomerOrOrderIsRefused(t *testing.T) {
	w, customer, guest := newWorld(t), newCustomer(), newGuest()
	must(t, w.add(guest, "ale", 1))
	for _, id := range []ident.CustomerID{"", "c-use1", "c-mars1-000000000000000000000000", customer + "0"} {
		_, read := w.ReadCart(t.Context(), &cartv1.ReadCartRequest{CustomerId: string(id)})
		_, merge := w.merge(id, guest)
		for _, err := range []error{read, merge, w.bought(id, newOrder(), "ale", 1)} {
			refused(t, err, problem.Invalid, "MALFORMED_CUSTOMER_ID")
		}
	}
	// Only a guest's cart is merged, and only into a customer's.
	for into, from := range map[ident.CustomerID]ident.CustomerID{customer: newCustomer(), guest: newGuest(), newCustomer(): "g-use1"} {
		_, err := w.merge(into, from)
		refused(t, err, problem.Invalid, "MALFORMED_CUSTOMER_ID")
	}
	for _, order := range []ident.OrderID{"", "order-1", newOrder() + "X"} {
		refused(t, w.bought(customer, order, "ale", 1), problem.Invalid, "MALFORMED_ORDER_ID")
	}
}

const (
	me   = "use1-a"
	peer = "use1-b"
)

// chart says whose every customer is, by the map in memory.
type chart string

// Owner implements fence.Owners.
func (c chart) Owner(ident.CustomerID) (cell string, epoch uint64, ok bool) {
	return string(c), 3, true
}

// fenced is a world behind a real fence; the map says that every customer is the cell's.
func fenced(t *testing.T, db *sqldb.DB, cell chart) world {
	t.Helper()
	f, err := fence.New(fence.Deps{DB: db, Cell: me, Region: "us-east-1", Owners: cell})
	must(t, err)
	return onDB(db, f)
}

// owned makes a customer whose slot's row names a cell. Different names never meet in a slot: the first owner stays.
func owned(t *testing.T, db *sqldb.DB, cell string, slot *ident.Slot) ident.CustomerID {
	t.Helper()
	id := newCustomer()
	for id.Slot() == *slot {
		id = newCustomer()
	}
	*slot = id.Slot()
	must(t, fence.Assign(t.Context(), db, id.Region(), opened, []fence.Assignment{{Slot: id.Slot(), Owner: cell, Epoch: 3}}))
	return id
}

func TestOnlyTheOwnerOfACustomerChangesTheCart(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	slot := ident.Slot(ident.Slots)
	ours, theirs, guest := owned(t, db, me, &slot), owned(t, db, peer, &slot), newGuest()
	for name, call := range map[string]func(w world, id ident.CustomerID) error{
		"add":         func(w world, id ident.CustomerID) error { return w.add(id, "ale", 1) },
		"set":         func(w world, id ident.CustomerID) error { return w.set(id, "ale", 3) },
		"set to 0":    func(w world, id ident.CustomerID) error { return w.set(id, "ale", 0) },
		"remove":      func(w world, id ident.CustomerID) error { return w.removed(id, "ale") },
		"merge":       func(w world, id ident.CustomerID) error { _, err := w.merge(id, guest); return err },
		"take bought": func(w world, id ident.CustomerID) error { return w.bought(id, newOrder(), "ale", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := fenced(t, db, me) // the map may be old: the row decides
			must(t, call(w, ours))
			before := rowsOf(t, db, theirs)
			err := call(w, theirs)
			refused(t, err, problem.Unavailable, fence.ReasonWrongCell)
			if d, _ := problem.Detail[*problemv1.WrongCell](err); d.GetOwner() != peer {
				t.Errorf("sent to %q", d.GetOwner())
			}
			same(t, "rows of the other cell's customer", rowsOf(t, db, theirs), before)
		})
	}
}

func TestAnInternalCallForAnotherCellsCustomerIsSentThere(t *testing.T) {
	w, id := fenced(t, sqldbtest.New(t, sqldb.Customer), peer), newCustomer()
	_, read := w.ReadCart(t.Context(), &cartv1.ReadCartRequest{CustomerId: string(id)})
	_, merge := w.merge(id, newGuest())
	for _, err := range []error{read, merge, w.bought(id, newOrder(), "ale", 1)} {
		refused(t, err, problem.Unavailable, fence.ReasonWrongCell)
	}
}

func TestACatalogueThatIsAwayFailsTheCallAndChangesNothing(t *testing.T) {
	w, id, away := newWorld(t), newCustomer(), errors.New("away")
	must(t, w.add(id, "ale", 2))
	before := rowsOf(t, w.db, id)
	w.shelf.fail(away)
	_, read := w.ReadCart(context.Background(), &cartv1.ReadCartRequest{CustomerId: string(id)})
	for _, err := range []error{read, w.add(id, "ale", 1), w.set(id, "ale", 1), w.add(id, "port", 1)} {
		if !errors.Is(err, away) {
			t.Errorf("got %v", err)
		}
	}
	same(t, "rows", rowsOf(t, w.db, id), before)
}
