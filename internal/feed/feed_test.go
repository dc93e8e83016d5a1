package feed

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/bus"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/quickwit"
)

// oneOfEach kind of message, with all that is personal in it.
func oneOfEach() []bus.Message {
	parcel := &fulfillmentv1.ShipmentShipped{
		OrderId: "use1-7KQ2", CustomerId: "c-use1-secret", FcId: "ATL1", ShipmentId: "s-1", TrackingNumber: "CC-secret", ShippedAt: timestamppb.New(noon), Carrier: "Parcel Post",
	}
	return []bus.Message{
		message("requested/1", "fulfillment.us-east-1.ATL1.requested", &orderv1.FulfillmentRequested{
			OrderId: "use1-7KQ2", CustomerId: "c-use1-secret", FcId: "ATL1", PaidAt: timestamppb.New(noon), Express: true,
			Lines:  []*orderv1.ParcelLine{{Line: 1, Sku: "A", Quantity: 2}, {Line: 2, Sku: "B", Quantity: 1}},
			ShipTo: &postalv1.PostalAddress{Recipient: "secret", Lines: []string{"secret"}, Locality: "secret", PostalCode: "secret", Phone: "secret", RegionCode: "US"},
		}),
		message("shipped/1", "order.use1.shipped", parcel),
		message("scanned/1", "order.use1.scanned", &fulfillmentv1.ShipmentScanned{Shipment: parcel, Scans: []*orderv1.Scan{
			{Seq: 1, State: orderv1.WayState_WAY_STATE_PICKED_UP, At: timestamppb.New(noon)},
			{Seq: 2, State: orderv1.WayState_WAY_STATE_DELIVERED, At: timestamppb.New(noon.Add(time.Hour)), Place: "secret", Note: "secret"},
		}}),
		message("short/1", "order.use1.short", &fulfillmentv1.ShipmentShort{
			OrderId: "use1-7KQ2", CustomerId: "c-use1-secret", FcId: "ATL1", ShipmentId: "s-1", ShortPicks: []*orderv1.ShortPick{
				{ShortPickId: "p-1", Lines: []*orderv1.ParcelLine{{Line: 2, Sku: "B", Quantity: 1}}, FoundAt: timestamppb.New(noon.Add(-time.Hour))},
				{ShortPickId: "p-2", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "A", Quantity: 2}}, FoundAt: timestamppb.New(noon)},
			},
		}),
		message("stock/1", "stock.us-east-1.summarized", &inventoryv1.StockSummarized{Summaries: []*inventoryv1.StockSummary{{Sku: "A", Units: 7}, {Sku: "B"}}}),
		message("stock/2", "stock.us-west-2.summarized", &inventoryv1.StockSummarized{Summaries: []*inventoryv1.StockSummary{{Sku: "C", Units: 7}}}), // that region's to write
		message("search/1", "search.us-east-1.logged", &searchv1.SearchLogged{
			Id: "search/1", At: timestamppb.New(noon), Cell: "use1-a", Query: "red shoes", Category: "Shoes", Brands: []string{"Acme"}, MinPriceMinorUnits: 1, MaxPriceMinorUnits: 2, Prime: true,
			Sort: searchv1.Sort_SORT_PRICE_ASCENDING, Offset: 24, Total: 99, Skus: []string{"A"}, TookUs: 1500,
		}),
	}
}

func TestWhatHappensIsWrittenDownWithoutWhoItWas(t *testing.T) {
	w := newWorld(t)
	w.publish(oneOfEach()...)
	w.run(w.deps("use1-a"))
	want := map[string][]map[string]any{
		"cellar-orders": {
			{"id": "requested/1", "at": "2031-05-04T12:00:00Z", "kind": "requested", "region": "us-east-1", "order_id": "use1-7KQ2", "fc": "ATL1", "skus": []any{"A", "B"}, "units": 3.0, "country": "US", "express": true},
			{"id": "scanned/1", "at": "2031-05-04T13:00:00Z", "kind": "scanned", "region": "us-east-1", "order_id": "use1-7KQ2", "fc": "ATL1", "carrier": "Parcel Post", "state": "delivered"},
			{"id": "shipped/1", "at": "2031-05-04T12:00:00Z", "kind": "shipped", "region": "us-east-1", "order_id": "use1-7KQ2", "fc": "ATL1", "carrier": "Parcel Post"},
			{"id": "short/1", "at": "2031-05-04T12:00:00Z", "kind": "short", "region": "us-east-1", "order_id": "use1-7KQ2", "fc": "ATL1", "skus": []any{"A"}, "units": 2.0},
		},
		"cellar-stock": {
			{"id": "stock/1/A", "kind": "summarized", "region": "us-east-1", "sku": "A", "units": 7.0},
			{"id": "stock/1/B", "kind": "summarized", "region": "us-east-1", "sku": "B", "units": 0.0},
		},
		"cellar-searches": {
			{"id": "search/1", "at": "2031-05-04T12:00:00Z", "region": "us-east-1", "cell": "use1-a", "query": "red shoes", "category": "Shoes", "brands": []any{"Acme"}, "min_price": 1.0, "max_price": 2.0, "prime": true, "sort": "price_ascending", "offset": 24.0, "total": 99.0, "skus": []any{"A"}, "took_us": 1500.0},
		},
	}
	for index, documents := range want {
		w.await(index+" has its documents", func() bool { return len(w.quickwit.Documents(index)) >= len(documents) })
		got := w.quickwit.Documents(index)
		slices.SortFunc(got, func(a, b map[string]any) int { return strings.Compare(a["id"].(string), b["id"].(string)) })
		if index == "cellar-stock" {
			for _, d := range got { // stock is news when the broker has it
				if at, err := time.Parse(time.RFC3339Nano, d["at"].(string)); err != nil || time.Since(at) > time.Hour {
					t.Errorf("%v at %v, %v", d["id"], at, err)
				}
				delete(d, "at")
			}
		}
		if !reflect.DeepEqual(got, documents) {
			t.Errorf("%s has\n%v, want\n%v", index, got, documents)
		}
		if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "secret") {
			t.Errorf("%s tells who it was: %s", index, text)
		}
	}
}

func TestEveryFieldOfADocumentIsInItsIndexAndTheOtherWayRound(t *testing.T) {
	fields, mapped := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, s := range Streams(home) {
		var config struct {
			ID      string `json:"index_id"`
			Mapping struct {
				Fields []struct{ Name string } `json:"field_mappings"`
			} `json:"doc_mapping"`
		}
		if err := json.Unmarshal(s.Index.Config, &config); err != nil || config.ID != s.Index.ID {
			t.Fatalf("%s: %v", s.Index.ID, err)
		}
		own := map[string]bool{}
		for _, f := range config.Mapping.Fields {
			own[f.Name] = true
		}
		mapped[s.Index.ID] = own
		for _, m := range oneOfEach() {
			if !strings.HasPrefix(m.Subject, strings.ToLower(s.Consumer.Stream)+".") {
				continue
			}
			all, err := documents("us-east-1", m)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range all {
				var d map[string]any
				if err := json.Unmarshal(line, &d); err != nil {
					t.Fatal(err)
				}
				if fields[s.Index.ID] == nil {
					fields[s.Index.ID] = map[string]bool{}
				}
				for name := range d {
					fields[s.Index.ID][name] = true
				}
			}
		}
	}
	if !reflect.DeepEqual(fields, mapped) {
		t.Errorf("documents have %v, indexes %v", fields, mapped)
	}
}

// Quickwit is away before anything is written, then busy, then its index is gone.
func TestNothingIsLostWhileQuickwitIsAwayOrBusy(t *testing.T) {
	w := newWorld(t)
	const part = 600 // more than a batch
	w.quickwit.Away()
	w.publish(parcels(0, part)...)
	w.run(w.deps("use1-a"))
	refused := func(what string, n int) {
		w.await(what, func() bool { return w.quickwit.Refused() >= n })
	}
	refused("it was asked in vain", 8)
	w.quickwit.Well()
	w.awaitOrders(part)
	w.quickwit.Busy()
	w.publish(parcels(part, 2*part)...)
	refused("it was busy", 5)
	orders := Streams(home)[1].Consumer
	if behind, err := w.bus.Behind(t.Context(), orders); err != nil || behind.Messages < part || behind.Last.IsZero() {
		t.Errorf("while it is busy the feed is behind by %+v, %v", behind, err)
	}
	w.quickwit.Well()
	w.awaitOrders(2 * part)
	w.quickwit.Drop("cellar-orders")
	w.publish(parcels(2*part, 2*part+10)...)
	w.awaitOrders(10)
	w.await("nothing is left", func() bool {
		behind, err := w.bus.Behind(t.Context(), orders)
		return err == nil && behind.Messages == 0
	})
	if dead := w.buried(); len(dead) > 0 {
		t.Errorf("%d were given up", len(dead))
	}
}

// The process that writes dies when documents are written and before it has the answer.
func TestAWriterThatDiesIsFollowedByAnotherThatLosesNothing(t *testing.T) {
	w := newWorld(t)
	const n = 1200
	w.publish(parcels(0, n)...)
	var stored atomic.Int64
	ctx, kill := context.WithCancel(t.Context())
	w.quickwit.Stored(func() {
		if stored.Add(1) == 2 {
			kill()
			panic(http.ErrAbortHandler)
		}
	})
	first := make(chan struct{})
	go func() { defer close(first); New(w.deps("use1-a")).Run(ctx) }()
	<-first
	written, _ := w.ids("cellar-orders")
	w.run(w.deps("use1-b"))
	w.awaitOrders(n)
	ids, twins := w.ids("cellar-orders")
	if len(ids) != n || twins == 0 || twins >= len(written)+1 {
		t.Errorf("%d events of %d are written, %d of them twice; the first had written %d", len(ids), n, twins, len(written))
	}
	same := map[string]map[string]any{}
	for _, d := range w.quickwit.Documents("cellar-orders") {
		id := d["id"].(string)
		if there, ok := same[id]; ok && !reflect.DeepEqual(there, d) {
			t.Errorf("twins of %s differ: %v and %v", id, there, d)
		}
		same[id] = d
	}
}

// onlyOne counts how many write at once.
type onlyOne struct {
	Bus
	t       *testing.T
	holders *atomic.Int64
}

func (o onlyOne) ConsumeBatches(ctx context.Context, c bus.Consumer, handle bus.BatchHandler) error {
	if c.Stream == bus.StreamOrder {
		if n := o.holders.Add(1); n != 1 {
			o.t.Errorf("%d write at once", n)
		}
		defer o.holders.Add(-1)
	}
	return o.Bus.ConsumeBatches(ctx, c, handle)
}

func TestOneWritesAtATimeAndAnotherGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t)
	var holders atomic.Int64
	var stops []func()
	for _, cell := range []string{"use1-a", "use1-b"} {
		deps := w.deps(cell)
		deps.Bus = onlyOne{deps.Bus, t, &holders}
		stops = append(stops, w.run(deps))
	}
	w.publish(parcels(0, 100)...)
	w.awaitOrders(100)
	stops[0]()
	w.publish(parcels(100, 200)...)
	w.awaitOrders(200)
	if _, twins := w.ids("cellar-orders"); twins > 0 {
		t.Errorf("%d events were written twice by processes that ended in order", twins)
	}
}

// picky is a Quickwit that does not take documents of one order.
type picky struct{ Sink }

func (p picky) Ingest(ctx context.Context, index string, commit quickwit.Commit, documents [][]byte) error {
	if slices.ContainsFunc(documents, func(d []byte) bool { return strings.Contains(string(d), `"use1-refused"`) }) {
		return problem.New(problem.Invalid, quickwit.ReasonRefused, "one is refused")
	}
	return p.Sink.Ingest(ctx, index, commit, documents)
}

func TestWhatCannotBeWrittenIsADeadLetterAndKeepsNoOther(t *testing.T) {
	w := newWorld(t)
	deps := w.deps("use1-a")
	deps.Sink = picky{deps.Sink}
	bad := []bus.Message{
		{ID: "broken", Subject: "order.use1.shipped", Data: []byte("\xff\xff")},
		message("refused", "order.use1.shipped", &fulfillmentv1.ShipmentShipped{OrderId: "use1-refused"}),
		message("timeless", "order.use1.shipped", &fulfillmentv1.ShipmentShipped{ShippedAt: &timestamppb.Timestamp{Seconds: 1 << 40}}),
	}
	w.publish(append(bad, bus.Message{ID: "mystery", Subject: "order.use1.unheard", Data: []byte("\xff")})...) // which is no matter of the feed's
	w.publish(parcels(0, 20)...)
	w.run(deps)
	w.awaitOrders(20)
	w.await("the others are given up", func() bool { return len(w.buried()) == len(bad) })
	if dead := w.buried(); !slices.Equal(dead, []string{"broken", "refused", "timeless"}) {
		t.Errorf("given up: %v", dead)
	}
	w.await("nothing is left", func() bool {
		behind, err := w.bus.Behind(t.Context(), Streams(home)[1].Consumer)
		return err == nil && behind.Messages == 0
	})
	if ids, _ := w.ids("cellar-orders"); len(ids) != 20 {
		t.Errorf("%d are written", len(ids))
	}
}
