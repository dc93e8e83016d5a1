package recovery

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const home = ident.Region("us-east-1")

// region has two cells; a owns every slot at first.
type region struct {
	t     *testing.T
	db    *sqldb.DB
	clock *clock.Manual
	owner string // as the map says
	cells map[string]*Service
	asked []string // cells that others have passed commands on to
	shop  map[string]*saga.Engine
	// broken is what the shop's sagas meet with.
	broken error
}

// Owner implements fence.Owners.
func (r *region) Owner(ident.CustomerID) (string, uint64, bool) { return r.owner, 1, r.owner != "" }

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t, db: sqldbtest.New(t, sqldb.Customer), clock: clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)),
		owner: "a", cells: map[string]*Service{}, shop: map[string]*saga.Engine{}}
	var all []fence.Assignment
	for s := range ident.Slots {
		all = append(all, fence.Assignment{Slot: ident.Slot(s), Owner: "a", Epoch: 1})
	}
	r.must(fence.Assign(t.Context(), r.db, home, r.clock.Now(), all))
	for _, cell := range []string{"a", "b"} {
		r.open(cell)
	}
	return r
}

func (r *region) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) open(cell string) {
	r.t.Helper()
	f, err := fence.New(fence.Deps{DB: r.db, Cell: cell, Region: home, Owners: r})
	r.must(err)
	rings := func() (rings []ident.Region, version uint64) {
		if r.owner != cell {
			return nil, 1
		}
		return []ident.Region{home}, 1
	}
	log := slog.New(slog.DiscardHandler)
	r.shop[cell] = saga.New(saga.Deps{DB: r.db, Fence: f, Clock: r.clock, Log: log, Cell: cell, Rings: rings, Definitions: []*saga.Definition{r.sale()}})
	r.cells[cell] = New(Deps{
		DB: r.db, Fence: f, Clock: r.clock, Log: log, Engines: []Engine{r.shop[cell]}, Cell: cell, Rings: rings,
		At: func(cell string) Peer {
			r.asked = append(r.asked, cell)
			return r.cells[cell]
		},
	})
}

// sale is a saga of another service, with much in its state that is personal.
func (r *region) sale() *saga.Definition {
	return &saga.Definition{
		Kind: "sale", Tries: 1, NewState: func() proto.Message { return &checkoutv1.PlacementState{} }, Refused: func(proto.Message, error) {},
		Steps: []saga.Step{{Name: "take", Do: func(context.Context, proto.Message) error { return nil }}, {Name: "give", Forward: true, Do: func(context.Context, proto.Message) error { return r.broken }}},
	}
}

// parked sale.
func (r *region) parked() (id string) {
	r.t.Helper()
	r.broken = errors.New("a part of the platform does not answer")
	e, customer := r.shop["a"], r.cells["a"].deps.Fence.MintCustomer()
	id = string(ident.NewOrder(customer.Ring()))
	ticket, part, err := e.Part("sale", saga.Begun{ID: id, CustomerID: customer, State: &checkoutv1.PlacementState{
		OrderId: id, CardToken: "tok_secret", IdempotencyKey: "key-secret", GiftCardCodes: []string{"gift-secret"},
		Quote: &checkoutv1.QuoteSnapshot{CustomerId: string(customer), ShipTo: &postalv1.PostalAddress{
			Recipient: "Somebody secret", Lines: []string{"1 secret St"}, Locality: "secret town", PostalCode: "secret", RegionCode: "US", Phone: "secret"},
			Lines: []*checkoutv1.QuoteLine{{Sku: "KETTLE", Quantity: 2}}},
	}})
	r.must(err)
	r.must(r.cells["a"].deps.Fence.Join(r.t.Context(), customer, part))
	status, _, err := e.Run(r.t.Context(), ticket)
	if err != nil || status != saga.Parked {
		r.t.Fatalf("%s, %v", status, err)
	}
	return id
}

func (r *region) status(id string) recoveryv1.Status {
	r.t.Helper()
	resp, err := r.cells["b"].GetSaga(r.t.Context(), &recoveryv1.GetSagaRequest{SagaId: id})
	r.must(err)
	return resp.GetSaga().GetStatus()
}
