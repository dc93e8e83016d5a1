package order

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

func (w world) cancelOrder(p placement) (*orderv1.CancelOrderResponse, error) {
	return w.CancelOrder(p.session(context.Background()), &orderv1.CancelOrderRequest{OrderId: string(p.id), Reason: "changed my mind"})
}

func (w world) returnLines(p placement, id string, lines ...*orderv1.ReturnLine) (*orderv1.ReturnItemsResponse, error) {
	return w.ReturnItems(p.session(context.Background()), &orderv1.ReturnItemsRequest{OrderId: string(p.id), ReturnId: id, Lines: lines})
}

func (w world) shipAll(t reporter, p placement) {
	t.Helper()
	must(t, w.create(p), w.pay(p), w.ship(p, "iad1", "s1"), w.ship(p, "sea1", "s2"))
}

func TestCancelingTwiceGivesTheSameAnswer(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	w.centers.become("sea1", string(p.id), "packed")
	first, err := w.cancelOrder(p)
	must(t, err)
	again, err := w.cancelOrder(p)
	must(t, err)
	if !proto.Equal(first, again) || len(first.GetKept()) != 1 || first.GetKept()[0].GetFcId() != "sea1" {
		t.Errorf("first %v, then %v", first, again)
	}
	if n := w.till.calls["Refund"]; n != 1 {
		t.Errorf("%d refunds", n)
	}
	w.centers.become("sea1", string(p.id), "shipped")
	must(t, w.ship(p, "sea1", "s2"))
	if o := w.get(t, p); o.GetStatus() != orderv1.Status_STATUS_SHIPPED || o.GetLines()[0].GetCanceled() != 2 {
		t.Errorf("got %v", o)
	}
}

func TestWhatIsPackedEverywhereIsTooLateToCancel(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	for _, fc := range []string{"iad1", "sea1"} {
		w.centers.become(fc, string(p.id), "packed")
	}
	for range 2 {
		_, err := w.cancelOrder(p)
		refused(t, err, problem.Precondition, "TOO_LATE_TO_CANCEL")
	}
	must(t, w.ship(p, "iad1", "s1"), w.ship(p, "sea1", "s2"))
	_, err := w.cancelOrder(p)
	refused(t, err, problem.Precondition, "TOO_LATE_TO_CANCEL")
	if o := w.get(t, p); o.GetStatus() != orderv1.Status_STATUS_SHIPPED || o.GetRefunded().GetMinorUnits() != 0 || w.till.calls["Refund"] != 0 {
		t.Errorf("got %v", o)
	}
}

func TestManyWhoCancelAtOnceCancelOnce(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.cancelOrder(p) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !problem.Is(err, "CANCELLATION_IN_PROGRESS") {
			t.Errorf("got %v", err)
		}
	}
	resp, err := w.cancelOrder(p)
	must(t, err)
	if o := resp.GetOrder(); o.GetStatus() != orderv1.Status_STATUS_CANCELED || o.GetRefunded().GetMinorUnits() != total || w.till.calls["Refund"] != 1 {
		t.Errorf("%d refunds, and %v", w.till.calls["Refund"], o)
	}
}

func TestSomebodyElseNeitherCancelsNorReturns(t *testing.T) {
	w, p, other := newWorld(t), newPlacement(), newPlacement()
	w.shipAll(t, p)
	stranger := placement{customer: other.customer, id: p.id}
	_, err := w.cancelOrder(stranger)
	refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	_, err = w.returnLines(stranger, "r1", &orderv1.ReturnLine{Line: 1, Quantity: 1})
	refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	_, err = w.CancelOrder(context.Background(), &orderv1.CancelOrderRequest{OrderId: string(p.id)})
	refused(t, err, problem.Unauthenticated, "SESSION_REQUIRED")
}

func TestAReturnCountsOnceAndItsIdIsGoodForItsLinesOnly(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.shipAll(t, p)
	one := &orderv1.ReturnLine{Line: 1, Quantity: 1, Reason: "too bitter"}
	first, err := w.returnLines(p, "r1", one)
	must(t, err)
	again, err := w.returnLines(p, "r1", one)
	must(t, err)
	if !proto.Equal(first, again) || !first.GetReturn().GetDone() || first.GetReturn().GetRefund().GetMinorUnits() != 508 || first.GetReturn().GetLines()[0].GetReason() != "too bitter" {
		t.Errorf("first %v, then %v", first, again)
	}
	_, err = w.returnLines(p, "r1", &orderv1.ReturnLine{Line: 1, Quantity: 2})
	refused(t, err, problem.Precondition, "RETURN_ID_REUSED")
	_, err = w.returnLines(p, "r2", &orderv1.ReturnLine{Line: 1, Quantity: 3})
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	_, err = w.returnLines(p, "r2", &orderv1.ReturnLine{Line: 3, Quantity: 1})
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	if _, err = w.returnLines(p, "r2", &orderv1.ReturnLine{Line: 1, Quantity: 2}); err != nil {
		t.Fatal(err)
	}
	if o := w.get(t, p); o.GetRefunded().GetMinorUnits() != 1500-100+124 {
		t.Errorf("a whole line is refunded with %v", o.GetRefunded())
	}
}

func TestManyReturnsAtOnceGiveBackNoMoreThanWasSent(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.shipAll(t, p)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.returnLines(p, fmt.Sprint("r", i), &orderv1.ReturnLine{Line: 1, Quantity: 1}) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !problem.Is(err, "RETURNS_TOO_MUCH") {
			t.Errorf("got %v", err)
		}
	}
	back := w.centers.cameBack(string(p.id), "iad1", "ale") + w.centers.cameBack(string(p.id), "sea1", "ale")
	if refunded := w.get(t, p).GetRefunded().GetMinorUnits(); done != 3 || back != 3 || refunded != 1500-100+124 {
		t.Errorf("%d returns, %d units back, %d refunded", done, back, refunded)
	}
}

func TestTheReturnWindowCloses(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.shipAll(t, p)
	w.clock.Advance(returnWindow)
	if _, err := w.returnLines(p, "r1", &orderv1.ReturnLine{Line: 2, Quantity: 1}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Microsecond)
	_, err := w.returnLines(p, "r2", &orderv1.ReturnLine{Line: 1, Quantity: 1})
	refused(t, err, problem.Precondition, "RETURN_WINDOW_CLOSED")
	_, err = w.returnLines(p, "r2", &orderv1.ReturnLine{Line: 1, Quantity: 4})
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
}

// Shipping is charged once and refunded once, and never more is given back than was taken.
func TestDeliveryIsRefundedOnceAndOnlyWithAWholeOrder(t *testing.T) {
	w := newWorld(t)
	whole, parts := newPlacement(), newPlacement()
	must(t, w.create(whole), w.pay(whole))
	for range 2 {
		resp, err := w.cancelOrder(whole)
		must(t, err)
		if o := resp.GetOrder(); o.GetRefunded().GetMinorUnits() != total || o.GetPaymentStatus() != refunded {
			t.Errorf("canceled as a whole: %v of %v", o.GetRefunded(), o.GetTotal())
		}
	}
	w.shipAll(t, parts)
	for i, l := range []*orderv1.ReturnLine{{Line: 1, Quantity: 3}, {Line: 2, Quantity: 1}} {
		_, err := w.returnLines(parts, fmt.Sprint("r", i), l)
		must(t, err)
	}
	o := w.get(t, parts)
	if kept := total - o.GetRefunded().GetMinorUnits(); kept != 499+44 || w.till.account(string(parts.id)).refunded != total-499-44 || o.GetPaymentStatus() != partlyRefunded {
		t.Errorf("everything came back, and %d are kept", kept)
	}
	for _, parcel := range o.GetParcels() {
		if parcel.GetState() != returned {
			t.Errorf("got %v", parcel)
		}
	}
}

func TestWhatShipmentsTakeAddsUpToTheOrderAndDeliveryIsTakenOnce(t *testing.T) {
	for _, fcs := range [][]string{{"iad1", "sea1"}, {"sea1", "iad1"}} {
		w, p := newWorld(t), newPlacement()
		must(t, w.create(p), w.hold(p))
		if o := w.get(t, p); o.GetPaymentStatus() != authorized || o.GetCaptured().GetMinorUnits() != 0 {
			t.Errorf("held: %v", o)
		}
		must(t, w.ship(p, fcs[0], "s-"+fcs[0]))
		w.Drain()
		if o := w.get(t, p); o.GetPaymentStatus() != partlyCaptured || o.GetCaptured().GetMinorUnits() != w.till.account(string(p.id)).captured {
			t.Errorf("after one of two: %v", o)
		}
		must(t, w.ship(p, fcs[1], "s-"+fcs[1]))
		w.Drain()
		till, o := w.till.account(string(p.id)), w.get(t, p)
		if o.GetPaymentStatus() != captured || till.captured != total || till.held != 0 || len(till.captures) != 2 || w.till.calls["Capture"] != 2 {
			t.Errorf("after both: %v, by %v", o, till)
		}
	}
}

func TestShipmentsAtOnceTakeTheirPartsAndLeaveNothingHeld(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		p := newPlacement()
		must(t, w.create(p), w.hold(p))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, fc := range []string{"iad1", "sea1"} {
			wg.Go(func() { errs[i] = w.ship(p, fc, "s-"+fc) })
		}
		wg.Wait()
		must(t, errs...)
		w.Drain()
		if till, o := w.till.account(string(p.id)), w.get(t, p); till.captured != total || till.held != 0 || o.GetPaymentStatus() != captured {
			t.Fatalf("%v, by %v", o, till)
		}
	}
}

func TestAnOrderIsPaidTheSameWayHoweverMuchIsKnownOfIt(t *testing.T) {
	w := newWorld(t)
	var shown []*orderv1.Order
	for _, to := range []*postalv1.PostalAddress{newPlacement().order().GetShipTo(), nil, {RegionCode: "US", PostalCode: "99999"}} {
		p := newPlacement()
		must(t, w.create(p))
		for range 2 { // again: the order is not as it was placed
			resp, err := w.MarkPaid(t.Context(), &orderv1.MarkPaidRequest{CustomerId: string(p.customer), OrderId: string(p.id), Parcels: p.parcels(), ShipTo: to})
			must(t, err)
			if !proto.Equal(resp.GetOrder(), w.get(t, p)) {
				t.Errorf("answered %v, stored %v", resp.GetOrder(), w.get(t, p))
			}
		}
		asked := outboxOf(t, w.db, p.id)
		if len(asked) != 2 || !proto.Equal(asked[0].request.GetShipTo(), p.order().GetShipTo()) {
			t.Errorf("asked for %v", asked)
		}
		o := w.get(t, p)
		o.OrderId, o.CustomerId = "", ""
		shown = append(shown, o)
	}
	if !proto.Equal(shown[0], shown[1]) || !proto.Equal(shown[0], shown[2]) {
		t.Errorf("three ways, three orders: %v", shown)
	}
}

func TestNobodyElsesOrderIsPaidWithoutALook(t *testing.T) {
	w, p, other := newWorld(t), newPlacement(), newPlacement()
	must(t, w.create(p))
	refused(t, w.pay(placement{customer: other.customer, id: p.id}), problem.NotFound, "UNKNOWN_ORDER")
	refused(t, w.pay(other), problem.NotFound, "UNKNOWN_ORDER")
	if o := w.get(t, p); o.GetStatus() != orderv1.Status_STATUS_PENDING || len(outboxOf(t, w.db, p.id)) != 0 {
		t.Errorf("got %v", o)
	}
}

func TestAPageShowsOrdersAsTheyStand(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p), w.ship(p, "iad1", "s1"))
	_, err := w.cancelOrder(p)
	must(t, err)
	resp, err := w.ListOrders(p.session(t.Context()), &orderv1.ListOrdersRequest{})
	must(t, err)
	want := w.get(t, p)
	want.Events = nil
	if len(resp.GetOrders()) != 1 || !proto.Equal(resp.GetOrders()[0], want) {
		t.Errorf("got %v, want %v", resp.GetOrders(), want)
	}
}

func TestSharesOfALineAddUpHoweverItIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, price := rapid.Int64Range(1, maxQuantity).Draw(t, "units"), rapid.Int64Range(0, 1<<40).Draw(t, "price")
		l := &orderv1.Line{Quantity: n, UnitPrice: usd(price), Discount: usd(rapid.Int64Range(0, n*price).Draw(t, "discount")), Tax: usd(rapid.Int64Range(0, 1<<50).Draw(t, "tax"))}
		sum, at := int64(0), int64(0)
		for at < n {
			units := rapid.Int64Range(1, n-at).Draw(t, "piece")
			share := between(l, at, at+units)
			if share < 0 {
				t.Fatalf("units %d to %d bear %d", at, at+units, share)
			}
			sum, at = sum+share, at+units
		}
		if whole := n*price - l.GetDiscount().GetMinorUnits() + l.GetTax().GetMinorUnits(); sum != whole {
			t.Fatalf("the pieces add up to %d, the line is %d", sum, whole)
		}
	})
}

func TestEventsInAnImpossibleOrderAreNoOrder(t *testing.T) {
	detail := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		must(t, err)
		return b
	}
	p := newPlacement()
	paid := Event{Kind: kindPaid, Detail: detail(&orderv1.Paid{Parcels: p.parcels()})}
	gone, canceled := Event{Kind: kindShipped, Detail: detail(&orderv1.Shipped{FcId: "iad1"})}, Event{Kind: kindCanceled, Detail: detail(&orderv1.Canceled{FcId: "iad1"})}
	for want, events := range map[string][]Event{
		"cannot become PAID":             {paid},
		"PARCEL_STATE_SHIPPED cannot":    {{Kind: kindPlaced}, paid, gone, canceled},
		"PARCEL_STATE_CANCELED cannot":   {{Kind: kindPlaced}, paid, canceled, gone},
		"fra1 sends nothing":             {{Kind: kindPlaced}, paid, {Kind: kindPacked, Detail: detail(&orderv1.Packed{FcId: "fra1"})}},
		"nobody asked for the return r1": {{Kind: kindPlaced}, paid, {Kind: kindReturned, Detail: detail(&orderv1.Returned{ReturnId: "r1"})}},
		"5000 refunded of 4789":          {{Kind: kindPlaced}, paid, {Kind: kindRefunded, Detail: detail(&orderv1.Refunded{RefundId: "x", Amount: usd(5000)})}},
		"FAILED cannot become PAID":      {{Kind: kindPlaced}, {Kind: kindFailed}, paid},
		"PAID cannot become FAILED":      {{Kind: kindPlaced}, paid, {Kind: kindFailed}},
		"cannot parse invalid":           {{Kind: kindPlaced}, {Kind: kindPaid, Detail: []byte{0xff}}},
	} {

		if _, err := project(p.order(), events); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got, err := project(p.order(), []Event{{Kind: kindPlaced}, {Kind: "delivered by drone"}}); err != nil || got.status != Pending {
		t.Errorf("an event of a newer release: %v, %v", got.status, err)
	}
}

func TestABadFieldOfACancellationOrAReturnIsNamed(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.shipAll(t, p)
	_, err := w.CancelOrder(p.session(t.Context()), &orderv1.CancelOrderRequest{OrderId: string(p.id), Reason: strings.Repeat("x", maxWords+1)})
	refusesField(t, err, "reason")
	one := &orderv1.ReturnLine{Line: 1, Quantity: 1}
	for field, lines := range map[string][]*orderv1.ReturnLine{
		"lines": nil, "lines[0].line": {{Line: 0, Quantity: 1}}, "lines[1].line": {one, one}, "lines[0].quantity": {{Line: 1}},
		"lines[0].reason": {{Line: 1, Quantity: 1, Reason: strings.Repeat("ü", maxWords+1)}},
	} {
		_, err := w.returnLines(p, "r1", lines...)
		refusesField(t, err, field)
	}
	for _, id := range []string{"a/b", strings.Repeat("x", maxReturnID+1), "ä"} {
		_, err := w.returnLines(p, id, one)
		refusesField(t, err, "return_id")
	}
	_, err = w.returnLines(p, "", one)
	refused(t, err, problem.Invalid, "IDEMPOTENCY_KEY_MISSING")
	_, err = w.returnLines(placement{customer: p.customer, id: ident.NewOrder("use1")}, "r1", one)
	refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
}

// The header takes the place of the id, as a client sends it.
func TestAnIdempotencyKeyNamesAReturn(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.shipAll(t, p)
	mux := http.NewServeMux()
	mux.Handle(orderv1connect.NewOrderServiceHandler(w.Service, rpc.HandlerOptions(slog.New(slog.DiscardHandler), telemetry.NewMetrics(nil))...))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(rw, r.WithContext(p.session(r.Context())))
	}))
	defer server.Close()
	client := orderv1connect.NewOrderServiceClient(server.Client(), server.URL)
	send := func(key string, units int64) (*orderv1.ReturnItemsResponse, error) {
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set(keyHeader, key)
		return client.ReturnItems(ctx, &orderv1.ReturnItemsRequest{OrderId: string(p.id), Lines: []*orderv1.ReturnLine{{Line: 1, Quantity: units}}})
	}
	first, err := send("my key/1", 1)
	must(t, err)
	again, err := send(`"my key/1"`, 1)
	must(t, err)
	if !proto.Equal(first, again) || first.GetReturn().GetReturnId() == "" {
		t.Errorf("first %v, then %v", first, again)
	}
	_, err = send("my key/1", 2)
	refused(t, err, problem.Precondition, "RETURN_ID_REUSED")
	if _, err = send("my key/2", 2); err != nil {
		t.Fatal(err)
	}
}

func FuzzReturnIDFrom(f *testing.F) {
	for _, key := range []string{"", "k", `"k"`, ` "k" `, strings.Repeat("k", 256), "ключ", "\x00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		id, err := returnIDFrom(key)
		if err != nil {
			return
		}
		if len(id) > maxReturnID || strings.Trim(id, returnAlphabet) != "" {
			t.Errorf("%q is no return id", id)
		}
		if quoted, err := returnIDFrom(`"` + strings.Trim(strings.TrimSpace(key), `"`) + `"`); err != nil || quoted != id {
			t.Errorf("quoted it is %q, %v; bare %q", quoted, err, id)
		}
	})
}
