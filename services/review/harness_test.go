package review

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

const (
	here  = ident.Region("us-east-1")
	there = ident.Region("us-west-2")
)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t reporter, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t reporter, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %v %s", err, kind, reason)
	}
}

// world is the service in two regions, on a clock that stands still, before orders as a test wants them.
type world struct {
	*Service
	far    *Service // in the other region
	clock  *clock.Manual
	orders *orders
}

func newWorld(t testing.TB) world {
	t.Helper()
	customers := sqldbtest.New(t, sqldb.Customer)
	return onDB(customers, sqldbtest.New(t, sqldb.Regional), fencetest.Owner(customers, here))
}

func onDB(customers, regional *sqldb.DB, f fence.Fence) world {
	w := world{clock: clock.NewManual(opened), orders: &orders{lines: map[ident.OrderID]*orderv1.Order{}}}
	deps := Deps{Customers: customers, Regional: regional, Fence: f, Clock: w.clock, Orders: w.orders, Region: here, Regions: []ident.Region{here, there}, Cell: "use1-a"}
	w.Service = New(deps)
	deps.Region = there
	w.far = New(deps)
	return w
}

// orders that have been placed; each is its customer's alone.
type orders struct {
	lines map[ident.OrderID]*orderv1.Order
}

func (o *orders) GetOrder(ctx context.Context, req *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	p, err := session.Require(ctx)
	found := o.lines[ident.OrderID(req.GetOrderId())]
	if err == nil && found.GetCustomerId() != string(p.CustomerID) {
		err = problem.New(problem.NotFound, "UNKNOWN_ORDER", "there is no such order")
	}
	return &orderv1.GetOrderResponse{Order: found}, err
}

func (o *orders) ListOrders(ctx context.Context, _ *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	p, err := session.Require(ctx)
	resp := &orderv1.ListOrdersResponse{}
	for _, order := range o.lines {
		if order.GetCustomerId() == string(p.CustomerID) {
			resp.Orders = append(resp.Orders, order)
		}
	}
	return resp, err
}

// buy products, one a line; they are delivered.
func (o *orders) buy(customer ident.CustomerID, skus ...string) ident.OrderID {
	id := ident.NewOrder("use1")
	order := &orderv1.Order{OrderId: string(id), CustomerId: string(customer), Status: orderv1.Status_STATUS_SHIPPED, Parcels: []*orderv1.Parcel{{ShippedAt: timestamppb.New(opened), Carrier: "Parcel Post", Way: orderv1.WayState_WAY_STATE_DELIVERED}}}
	for i, sku := range skus {
		order.Lines = append(order.Lines, &orderv1.Line{Line: int32(i + 1), Sku: sku, Quantity: 1})
		order.Parcels[0].Lines = append(order.Parcels[0].Lines, &orderv1.ParcelLine{Line: int32(i + 1), Sku: sku, Quantity: 1})
	}
	o.lines[id] = order
	return id
}

func as(id ident.CustomerID) context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: id})
}

func member() ident.CustomerID { return ident.NewCustomer("use1") }

// event as it lies in the outbox.
type event struct {
	subject string
	payload []byte
}

// events for a region about a product, or with "" about all, in the order in which they happened.
func (w world) events(t reporter, region ident.Region, sku string) (all []event) {
	t.Helper()
	rows, err := w.deps.Customers.QueryText(context.Background(), "SELECT subject, payload FROM outbox WHERE destination = $1 AND ($2 = '' OR position($2::bytea in payload) > 0) ORDER BY id", string(region), sku)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var e event
		must(t, rows.Scan(&e.subject, &e.payload))
		all = append(all, e)
	}
	must(t, rows.Err())
	return all
}

// arrive takes the events to this region.
func (w world) arrive(t reporter) {
	t.Helper()
	w.arriveOf(t, "")
}

func (w world) arriveOf(t reporter, sku string) {
	t.Helper()
	for _, e := range w.events(t, here, sku) {
		_, err := w.Take(context.Background(), e.subject, e.payload)
		must(t, err)
	}
}

func (w world) opinion(t reporter, s *Service, sku string) *reviewv1.Opinion {
	t.Helper()
	resp, err := s.GetOpinion(context.Background(), &reviewv1.GetOpinionRequest{Sku: sku})
	must(t, err)
	return resp.GetOpinion()
}

// review by a new customer who has bought it.
func (w world) review(t reporter, sku string, rating int32, text string) (ident.CustomerID, *reviewv1.Contribution) {
	t.Helper()
	who := member()
	resp, err := w.SubmitReview(as(who), &reviewv1.SubmitReviewRequest{OrderId: string(w.orders.buy(who, sku)), Line: 1, Rating: rating, Title: "As told", Text: text, Author: "Ada"})
	must(t, err)
	return who, resp.GetContribution()
}

func (w world) ask(t reporter, sku, text string) (ident.CustomerID, *reviewv1.Contribution) {
	t.Helper()
	who := member()
	resp, err := w.AskQuestion(as(who), &reviewv1.AskQuestionRequest{Sku: sku, Text: text, Author: "Bo", Key: "k"})
	must(t, err)
	return who, resp.GetContribution()
}

func (w world) helpful(t reporter, c *reviewv1.Contribution, up, down int) {
	t.Helper()
	for i := range up + down {
		vote := reviewv1.Vote_VOTE_HELPFUL
		if i >= up {
			vote = reviewv1.Vote_VOTE_UNHELPFUL
		}
		_, err := w.VoteHelpful(as(member()), &reviewv1.VoteHelpfulRequest{Sku: c.GetSku(), ContributionId: c.GetContributionId(), Vote: vote})
		must(t, err)
	}
}

func stars(counts ...int64) string { return fmt.Sprint(counts) }

func histogram(o *reviewv1.Opinion) string { return fmt.Sprint(o.GetRating().GetHistogram()) }
