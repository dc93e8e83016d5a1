package cart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is the service on a clock that stands still, before a catalogue that sells whatever it is told to.
type world struct {
	*Service
	db    *sqldb.DB
	clock *clock.Manual
	shelf *shelf
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Customer, options...)
	return onDB(db, fencetest.Owner(db, "us-east-1"))
}

func onDB(db *sqldb.DB, f fence.Fence) world {
	manual, goods := clock.NewManual(opened), &shelf{prices: map[string]int64{"ale": 500, "port": 2500, "rum": 1}, withdrawn: map[string]bool{}}
	return world{db: db, clock: manual, shelf: goods, Service: New(Deps{DB: db, Fence: f, Products: goods, Clock: manual})}
}

// shelf plays the catalogue: prices in cents of what is for sale. Like the catalogue it takes at most 200 SKUs at once. It has only
// what a line needs.
type shelf struct {
	mu     sync.Mutex
	prices map[string]int64
	// withdrawn of these.
	withdrawn map[string]bool
	away      error
}

func (s *shelf) BatchGetProducts(_ context.Context, req *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(req.GetSkus()) > 200 {
		return nil, errors.New("the catalogue takes 200 products at once")
	}
	if req.GetView() != catalogv1.ProductView_PRODUCT_VIEW_LINE {
		return nil, errors.New("a cart has no use for whole products")
	}
	if s.away != nil {
		return nil, s.away
	}
	var resp catalogv1.BatchGetProductsResponse
	for _, sku := range req.GetSkus() {
		if cents, known := s.prices[sku]; known {
			p := &catalogv1.Product{Sku: sku, Title: finest(sku), Price: money.USD(cents).Proto(), CategoryPath: []string{"Drinks"}, Prime: true}
			if s.withdrawn[sku] {
				p.WithdrawnAt = timestamppb.New(opened)
			}
			resp.Products = append(resp.Products, p)
		}
	}
	return &resp, nil
}

func finest(sku string) string { return "Finest " + sku }

// price puts a product on the shelf; a negative price takes it off.
func (s *shelf) price(sku string, cents int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prices[sku] = cents; cents < 0 {
		delete(s.prices, sku)
	}
}

// withdraw a product, or restore it.
func (s *shelf) withdraw(sku string, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdrawn[sku] = gone
}

// fail each question from now on; nil ends it.
func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func newCustomer() ident.CustomerID { return ident.NewCustomer("use1") }

func newGuest() ident.CustomerID { return ident.NewGuest("use1") }

func as(id ident.CustomerID) context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: id})
}

func (w world) add(id ident.CustomerID, sku string, quantity int64) error {
	_, err := w.AddItem(as(id), &cartv1.AddItemRequest{Sku: sku, Quantity: quantity})
	return err
}

func (w world) set(id ident.CustomerID, sku string, quantity int64) error {
	_, err := w.SetQuantity(as(id), &cartv1.SetQuantityRequest{Sku: sku, Quantity: quantity})
	return err
}

func (w world) merge(customer, guest ident.CustomerID) (string, error) {
	resp, err := w.MergeGuestCart(context.Background(), &cartv1.MergeGuestCartRequest{CustomerId: string(customer), GuestId: string(guest)})
	return showMerged(resp), err
}

// bought takes "sku", quantity pairs out of a cart for an order.
func (w world) bought(id ident.CustomerID, order ident.OrderID, pairs ...any) error {
	req := &cartv1.RemoveOrderedRequest{CustomerId: string(id), OrderId: string(order)}
	for i := 0; i < len(pairs); i += 2 {
		req.Ordered = append(req.Ordered, &cartv1.RemoveOrderedRequest_Ordered{Sku: pairs[i].(string), Quantity: int64(pairs[i+1].(int))})
	}
	_, err := w.RemoveOrdered(context.Background(), req)
	return err
}

// fill a cart with so many products of one unit, without their being added one by one.
func (w world) fill(t reporter, id ident.CustomerID, products int) {
	t.Helper()
	var lines []Line
	for i := range products {
		sku := fmt.Sprintf("bulk-%03d", i)
		w.shelf.price(sku, 100)
		lines = append(lines, Line{SKU: sku, Quantity: 1, PriceAtAdd: money.USD(100), AddedAt: opened})
	}
	must(t, w.db.InTx(context.Background(), func(tx sqldb.Tx) error { return putLines(context.Background(), tx, stmtPut, id, lines) }))
}

func must(t reporter, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func refused(t reporter, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}

// refusesField expects INVALID_FIELDS that names just this field.
func refusesField(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	detail, _ := problem.Detail[*problemv1.FieldViolations](err)
	if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
		t.Errorf("got %v, want only %s", detail, field)
	}
}

// rowsOf shows the lines of a cart, and what has counted once for it.
func rowsOf(t reporter, db *sqldb.DB, id ident.CustomerID) string {
	t.Helper()
	all := sqldbtest.Texts(t, db, `
SELECT format('%s×%s at %s %s since %s', sku, quantity, price_minor_units, currency, extract(epoch FROM added_at)::int8)
FROM cart_lines
WHERE region = 'us-east-1' AND customer_id = $1
UNION ALL
SELECT cause
FROM cart_changes
WHERE region = 'us-east-1' AND customer_id = $1 AND cause <> 'lock'`, string(id))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// quantities of a cart's lines in the order in which they are shown, as in "ale×2 port×1".
func (w world) quantities(t reporter, id ident.CustomerID) string {
	t.Helper()
	resp, err := w.ReadCart(context.Background(), &cartv1.ReadCartRequest{CustomerId: string(id)})
	must(t, err)
	var out []string
	for _, l := range resp.GetCart().GetLines() {
		out = append(out, fmt.Sprintf("%s×%d", l.GetSku(), l.GetQuantity()))
	}
	return strings.Join(out, " ")
}

// showMerged as in "ale 2→5".
func showMerged(resp *cartv1.MergeGuestCartResponse) string {
	var out []string
	for _, m := range resp.GetMerged() {
		out = append(out, fmt.Sprintf("%s %d→%d", m.GetSku(), m.GetGuestQuantity(), m.GetQuantity()))
	}
	return strings.Join(out, " ")
}

func same[T comparable](t reporter, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
