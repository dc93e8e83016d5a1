//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/seed"
)

// roadTrouble is what goes wrong with scans: most come late and in any order, many twice, many never; and some parcels find
// nobody at first.
const roadTrouble = `{"webhook_lost_percent": 40, "webhook_duplicate_percent": 50, "webhook_delay_ms": 3000, "exception_percent": 40, "seed": 11}`

// carrierFaults of the sandbox until the test ends.
func carrierFaults(t *testing.T, text string) {
	t.Helper()
	url := "http://" + running.Layout().Sandbox + "/carrier/v1/faults"
	resp, err := browser.Post(url, "application/json", strings.NewReader(text))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the carrier's faults cannot be set: %v", err)
	}
	resp.Body.Close()
	t.Cleanup(func() {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodDelete, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := browser.Do(req); err == nil {
			resp.Body.Close()
		}
	})
}

// onlyAt leaves a product of the first ones in the catalogue to one FC alone, and gives it.
func onlyAt(t *testing.T, n int, region ident.Region, fc string) (sku string) {
	t.Helper()
	i := 0
	for p := range seed.Products(products, 7) {
		if i++; i == products-n {
			sku = p.GetSku()
		}
	}
	key, err := secret.Read(running.Info().PeerKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range running.Layout().Cells {
		stock := inventoryv1connect.NewInventoryServiceClient(rpc.Peer(key, nil), "http://"+cell.Internal, rpc.ClientOptions()...)
		all, err := stock.ListStock(t.Context(), &inventoryv1.ListStockRequest{Skus: []string{sku}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all.GetStocks() {
			if s.GetFcId() == fc {
				continue
			}
			if _, err := stock.Adjust(t.Context(), &inventoryv1.AdjustRequest{FcId: s.GetFcId(), Sku: sku, Delta: -s.GetAvailable(), AdjustmentId: "away-" + ident.NewToken(), Reason: "moved by a test"}); err != nil {
				t.Fatal(err)
			}
		}
		if cell.Region == region {
			if _, err := stock.Restock(t.Context(), &inventoryv1.RestockRequest{FcId: fc, DeliveryId: "here-" + sku, Lines: []*inventoryv1.RestockLine{{Sku: sku, Quantity: 5}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sku
}

// watched gives the numbers of the events of an order that were seen through the routers, in turn, and the order at its end.
func (c *client) watched(id string, between func(seen int64)) (seqs []int64, last *orderv1.Order) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	var seen int64
	for n := 0; ctx.Err() == nil; n++ {
		client := orderv1connect.NewOrderServiceClient(&http.Client{Transport: rpc.Transport()}, router(n%len(routers())), connect.WithInterceptors(asCustomer(c.token)))
		stream, err := client.WatchOrder(ctx, &orderv1.WatchOrderRequest{OrderId: id, AfterSeq: seen})
		for err == nil && stream.Receive() {
			last = stream.Msg().GetOrder()
			for _, e := range last.GetEvents() {
				seen = e.GetSeq()
				seqs = append(seqs, seen)
			}
			if stream.Msg().GetEnded() {
				return seqs, last
			}
			between(seen)
		}
	}
	c.t.Fatalf("after event %d of %s nothing more comes: %v", seen, id, last)
	return nil, nil
}

// asCustomer shows a session with each stream.
type asCustomer string

func (a asCustomer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }
func (a asCustomer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
func (a asCustomer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(a))
		return conn
	}
}

func TestThreeItemsFromTwoRegionsAreFollowedToTheDoorWhileScansAreLostAndACellDies(t *testing.T) {
	carrierFaults(t, roadTrouble)
	c := newClient(t, router(0))
	wanted := map[string]string{"bos1": onlyAt(t, 1, "us-east-1", "bos1"), "iad1": onlyAt(t, 2, "us-east-1", "iad1"), "ont4": onlyAt(t, 3, "us-west-2", "ont4")}
	for _, sku := range wanted {
		c.add(sku, 1)
	}
	o, err := c.place(c.quote().GetQuoteToken(), "tok_visa", ident.NewToken())
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	seqs, last := c.watched(o.GetOrderId(), func(seen int64) {
		if seen < 6 || killed { // under way
			return
		}
		killed = true
		if err := running.Kill("cell-use1-a"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the cell is down", func() bool { return !status(t, "cell-use1-a").Running })
		if err := running.Restart(t.Context(), "cell-use1-a"); err != nil {
			t.Fatal(err)
		}
	})
	for i, seq := range seqs {
		if int(seq) != i+1 {
			t.Fatalf("events were seen as %v", seqs)
		}
	}
	if !killed || len(last.GetParcels()) != 3 {
		t.Errorf("killed: %v; parcels %v", killed, last.GetParcels())
	}
	for _, p := range last.GetParcels() {
		if wanted[p.GetFcId()] == "" || p.GetWay() != orderv1.WayState_WAY_STATE_DELIVERED || p.GetTrackingNumber() == "" {
			t.Errorf("a parcel ends as %v", p)
		}
	}
	if err := finalAudit(); err != nil {
		t.Error(err)
	}
}
