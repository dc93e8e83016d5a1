package chaos

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/shop"
)

const (
	// askers of orders at once.
	askers = 4
	// askAgain is the pause before an order is asked for again that is not at its end.
	askAgain = 250 * time.Millisecond
)

// orderClient asks for one customer's orders.
func orderClient(client *http.Client, o shop.Placement) (ask func(context.Context) (*orderv1.Order, error)) {
	orders := orderv1connect.NewOrderServiceClient(client, o.Router, connect.WithHTTPGet(), connect.WithAcceptCompression("gzip", nil, nil))
	return func(ctx context.Context) (*orderv1.Order, error) {
		call, info := connect.NewClientContext(ctx)
		info.RequestHeader().Set("Authorization", "Bearer "+o.Token)
		resp, err := orders.GetOrder(call, &orderv1.GetOrderRequest{OrderId: o.OrderID})
		return resp.GetOrder(), err
	}
}

// AwaitShipped asks for an order until each of its parcels has left or was canceled. When ctx ends before, the order is as it
// stood last, and an error says so.
func AwaitShipped(ctx context.Context, client *http.Client, placed shop.Placement) (*orderv1.Order, error) {
	ask := orderClient(client, placed)
	var last *orderv1.Order
	for {
		o, err := ask(ctx)
		if err == nil {
			last = o
			if left(o) {
				return o, nil
			}
		}
		if rest(ctx, askAgain) != nil {
			return last, fmt.Errorf("%s is still %v: %w", placed.OrderID, last.GetStatus(), ctx.Err())
		}
	}
}

// left tells whether nothing of an order is still to be sent.
func left(o *orderv1.Order) bool {
	switch o.GetStatus() {
	case orderv1.Status_STATUS_SHIPPED, orderv1.Status_STATUS_CANCELED, orderv1.Status_STATUS_FAILED:
		return true
	default:
		return false
	}
}

// once is how often these events may be, for one parcel or, without one, for the whole order.
var once = map[string]bool{"placed": true, "paid": true, "failed": true, "packed": true, "shipped": true, "canceled": true}

// OrderFaults are the sentences of what is wrong with an order's events: they must be numbered from 1 without gaps, nothing
// may have happened twice that happens once, and each parcel's scans must be there once each, in their order.
func OrderFaults(o *orderv1.Order) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, o.GetOrderId()+": "+fmt.Sprintf(format, args...))
	}
	type effect struct{ kind, fc string }
	seen, scans := map[effect]int{}, map[string]int32{}
	for n, e := range o.GetEvents() {
		if e.GetSeq() != int64(n+1) {
			fault("event %d has the number %d", n+1, e.GetSeq())
		}
		one := effect{e.GetKind(), e.GetFcId()}
		if seen[one]++; once[one.kind] && seen[one] > 1 {
			fault("%q for the %d. time, centre %q", one.kind, seen[one], one.fc)
		}
		if e.GetKind() != "scanned" {
			continue
		}
		if scans[one.fc]++; e.GetScan().GetSeq() != scans[one.fc] {
			fault("scan %d of centre %s has the number %d", scans[one.fc], one.fc, e.GetScan().GetSeq())
		}
	}
	if len(o.GetEvents()) == 0 || o.GetEvents()[0].GetKind() != "placed" {
		fault("its first event is not that it was placed")
	}
	for _, p := range o.GetParcels() {
		for n, s := range p.GetScans() {
			if s.GetSeq() != int32(n+1) {
				fault("scan %d of the parcel of %s has the number %d", n+1, p.GetFcId(), s.GetSeq())
			}
		}
		if got := scans[p.GetFcId()]; int(got) != len(p.GetScans()) {
			fault("%d scans happened to the parcel of %s, and it shows %d", got, p.GetFcId(), len(p.GetScans()))
		}
	}
	return faults
}

// lookAtOrders that were placed, once each has been sent, and put what became of their parcels into the report.
func (d *brokerDrill) lookAtOrders(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, shipLimit)
	defer cancel()
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: askers, IdleConnTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	queue := make(chan placedOrder)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for o := range queue {
				seen, err := AwaitShipped(waiting, client, o.Placement)
				mu.Lock()
				d.report.looked(o.phase, seen, err, d.cut, d.back)
				mu.Unlock()
			}
		})
	}
	for _, o := range d.tally.orders {
		queue <- o
	}
	close(queue)
	wg.Wait()
	d.report.NotLookedAt, d.report.Notes = d.tally.more, append(d.report.Notes, d.tally.notes...)
	return ctx.Err()
}
