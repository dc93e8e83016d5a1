package shop

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// counter takes orders back: its answer depends on the order's name, and the first answer of each may be lost.
type counter struct {
	orderv1connect.UnimplementedOrderServiceHandler
	asked   map[string]int
	returns map[string]bool
	refund  int64
}

func (c *counter) CancelOrder(_ context.Context, req *orderv1.CancelOrderRequest) (*orderv1.CancelOrderResponse, error) {
	if c.asked[req.GetOrderId()]++; c.asked[req.GetOrderId()] == 1 {
		return nil, problem.New(problem.Aborted, "CANCELLATION_IN_PROGRESS", "played by a test")
	}
	switch req.GetOrderId() {
	case "early":
		return &orderv1.CancelOrderResponse{}, nil
	case "half":
		return &orderv1.CancelOrderResponse{Kept: []*orderv1.Parcel{{}}}, nil
	case "late":
		return nil, problem.New(problem.Precondition, "TOO_LATE_TO_CANCEL", "played by a test")
	}
	return nil, problem.New(problem.Precondition, "ORDER_BEING_PLACED", "played by a test")
}

func (c *counter) GetOrder(_ context.Context, req *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	return &orderv1.GetOrderResponse{Order: &orderv1.Order{OrderId: req.GetOrderId(), Status: orderv1.Status_STATUS_SHIPPED, Lines: []*orderv1.Line{
		{Line: 1, Quantity: 1, Canceled: 1, UnitPrice: &moneyv1.Money{MinorUnits: 100}}, {Line: 2, Quantity: 1, UnitPrice: &moneyv1.Money{MinorUnits: 100}},
	}}}, nil
}

func (c *counter) ReturnItems(_ context.Context, req *orderv1.ReturnItemsRequest) (*orderv1.ReturnItemsResponse, error) {
	if again := c.returns[req.GetReturnId()]; !again || req.GetLines()[0].GetLine() != 2 {
		c.returns[req.GetReturnId()] = true
		return nil, problem.New(problem.Unavailable, "LOST", "played by a test")
	}
	return &orderv1.ReturnItemsResponse{Return: &orderv1.Return{Done: true, Refund: &moneyv1.Money{MinorUnits: c.refund}}}, nil
}

func (c *counter) open(t *testing.T) (*play, string) {
	t.Helper()
	mux, options := http.NewServeMux(), connect.WithHandlerOptions(rpc.HandlerOptions(slog.New(slog.DiscardHandler), telemetry.NewMetrics(nil))...)
	mux.Handle(orderv1connect.NewOrderServiceHandler(c, options))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return &play{patience: patience, http: s.Client(), times: map[string][]time.Duration{}, failed: map[string]int64{}, report: Report{Outcomes: map[string]int{}, Canceled: map[string]int{}}}, s.URL
}

func TestEveryCancellationIsAskedForUntilItIsAnswered(t *testing.T) {
	p, router := (&counter{asked: map[string]int{}}).open(t)
	s := newShopper(p, router, nil)
	gone := map[string]bool{}
	for _, order := range []string{"early", "half", "late", "odd"} {
		gone[order] = s.cancel(t.Context(), order)
	}
	want := map[string]int{CanceledWhole: 1, CanceledPart: 1, tooLate: 1, "ORDER_BEING_PLACED": 1}
	if !maps.Equal(p.report.Canceled, want) || p.report.Clean() {
		t.Errorf("got %v, clean: %v", p.report.Canceled, p.report.Clean())
	}
	if !maps.Equal(gone, map[string]bool{"early": true, "half": false, "late": false, "odd": false}) {
		t.Errorf("gone: %v", gone)
	}
}

func TestSomeOfWhatCameIsSentBackAndWhatWasCanceledIsNotWaitedFor(t *testing.T) {
	for refund, clean := range map[int64]bool{100: true, 101: false} {
		p, router := (&counter{returns: map[string]bool{}, refund: refund}).open(t)
		for range returnEvery {
			p.placed = append(p.placed, result{order: "o", router: router}, result{order: "o", router: router, gone: true})
		}
		p.awaitShipped(t.Context(), time.Minute)
		returned := 0
		if clean {
			returned = 1
		}
		if p.report.Shipped != returnEvery || p.report.Returned != returned || p.report.Clean() != clean {
			t.Errorf("with %d back: %+v", refund, p.report)
		}
	}
}
