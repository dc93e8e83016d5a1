package order

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestOrdersAreListedNewestFirstAndEachOnce(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	var want []string
	for i := range 7 {
		p.id = ident.NewOrder("use1")
		must(t, w.create(p), w.create(newPlacement())) // and one of somebody else
		want = append(want, string(p.id))
		if i%3 != 1 { // some are placed in the same instant
			w.clock.Advance(time.Second)
		}
	}
	for size := range 9 {
		var got []string
		token, pages := "", 0
		for {
			resp, err := w.ListOrders(p.session(t.Context()), &orderv1.ListOrdersRequest{PageSize: int32(size), PageToken: token})
			must(t, err)
			for _, o := range resp.GetOrders() {
				got = append(got, o.GetOrderId())
				if len(o.GetLines()) != 2 {
					t.Errorf("an order in a list has its lines: %v", o)
				}
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
			if pages++; pages > len(want) {
				t.Fatal("the pages never end")
			}
		}
		if len(got) != len(want) || got[0] != want[6] || got[6] != want[0] {
			t.Errorf("pages of %d: got %v", size, got)
		}
		slices.Sort(got)
		if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("pages of %d: got %v, want %v", size, got, want)
		}
	}
}

func TestAPageTokenThatIsNotOursIsRefused(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, token := range []string{
		"!", "x", encode("1"), encode("/" + string(p.id)), encode("1/"), encode("one/" + string(p.id)), encode("1/order"),
		encode("99999999999999999999/" + string(p.id)), encode(strconv.Itoa(math.MinInt64) + "/" + string(p.id)), encode("-1/" + string(p.id)),
	} {
		_, err := w.ListOrders(p.session(t.Context()), &orderv1.ListOrdersRequest{PageToken: token})
		refused(t, err, problem.Invalid, "BAD_PAGE_TOKEN")
	}
	_, err := w.ListOrders(p.session(t.Context()), &orderv1.ListOrdersRequest{PageToken: encode(strconv.Itoa(math.MaxInt64) + "/" + string(p.id))})
	must(t, err)
	for _, size := range []int32{-1, maxPage + 1} {
		_, err := w.ListOrders(p.session(t.Context()), &orderv1.ListOrdersRequest{PageSize: size})
		refusesField(t, err, "page_size")
	}
}

func refusesField(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	detail, _ := problem.Detail[*problemv1.FieldViolations](err)
	if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
		t.Errorf("got %v, want only %s", detail, field)
	}
}

func TestABadFieldOfANewOrderIsNamed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		field  string
		change func(*orderv1.Order)
	}{
		"a gap in the lines":     {"order.lines[1].line", func(o *orderv1.Order) { o.Lines[1].Line = 3 }},
		"no sku":                 {"order.lines[0].sku", func(o *orderv1.Order) { o.Lines[0].Sku = "" }},
		"no address":             {"order.ship_to", func(o *orderv1.Order) { o.ShipTo = nil }},
		"a wrong total":          {"order.total", func(o *orderv1.Order) { o.Total.MinorUnits++ }},
		"a wrong sum of lines":   {"order.total", func(o *orderv1.Order) { o.ItemsTotal.MinorUnits++ }},
		"two currencies":         {"order.total", func(o *orderv1.Order) { o.Tax.CurrencyCode = "EUR" }},
		"more than 64 bits hold": {"order.total", func(o *orderv1.Order) { o.Lines[0].UnitPrice.MinorUnits = math.MaxInt64 }},
	} {
		t.Run(name, func(t *testing.T) {
			o := newPlacement().order()
			c.change(o)
			_, err := w.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{Order: o})
			refusesField(t, err, c.field)
		})
	}
}

func TestABadFieldOfWhatHappensToAnOrderIsNamed(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p))
	customer, id := string(p.customer), string(p.id)
	_, err := w.MarkPaid(t.Context(), &orderv1.MarkPaidRequest{CustomerId: customer, OrderId: id})
	refusesField(t, err, "parcels")
	_, err = w.MarkPaid(t.Context(), &orderv1.MarkPaidRequest{CustomerId: customer, OrderId: id, Parcels: append(p.parcels(), &orderv1.Parcel{FcId: "bos1"})})
	refusesField(t, err, "parcels[2]")
	_, err = w.MarkFailed(t.Context(), &orderv1.MarkFailedRequest{CustomerId: customer, OrderId: id})
	refusesField(t, err, "reason")
	_, err = w.RecordShipment(t.Context(), &orderv1.RecordShipmentRequest{CustomerId: customer, OrderId: id, ShipmentId: "s1"})
	refusesField(t, err, "fc_id")
	_, err = w.RecordShipment(t.Context(), &orderv1.RecordShipmentRequest{CustomerId: customer, OrderId: id, FcId: "iad1"})
	refusesField(t, err, "shipment_id")
	refused(t, w.pay(placement{customer: "nobody", id: p.id}), problem.Invalid, "MALFORMED_CUSTOMER_ID")
	refused(t, w.pay(placement{customer: p.customer, id: "nothing"}), problem.Invalid, "MALFORMED_ORDER_ID")
	refused(t, w.pay(placement{customer: p.customer, id: ident.NewOrder("usw2")}), problem.Invalid, "MALFORMED_ORDER_ID")
}
