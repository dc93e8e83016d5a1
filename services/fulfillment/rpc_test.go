package fulfillment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// everywhere is stock in both regions.
func everywhere() map[ident.Region]StockLister {
	east, west := lister{}, lister{}
	east.stocks = append(east.stocks, has("ewr1", "ale", 1), has("iad1", "ale", 9), has("iad1", "port", 9), has("closed", "ale", 99))
	west.stocks = append(west.stocks, has("sea1", "ale", 50), has("sea1", "port", 50))
	return map[ident.Region]StockLister{"us-east-1": east, "us-west-2": west}
}

func fcs(resp *fulfillmentv1.PlanOrderResponse) string {
	var all []string
	for _, p := range resp.GetParcels() {
		all = append(all, p.GetFcId())
	}
	return strings.Join(all, " ")
}

func TestAPlanTakesTheNearestCenterThatHasAllAndSaysHowFarItIs(t *testing.T) {
	w := newWorld(t, everywhere())
	ale, port := &fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 1}, &fulfillmentv1.PlanLine{Line: 2, Sku: "port", Quantity: 2}
	resp, err := w.PlanOrder(t.Context(), toNewYork(ale))
	if err != nil || fcs(resp) != "ewr1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if p := resp.GetParcels()[0]; p.GetRegion() != "us-east-1" || p.GetDistanceKm() < 5 || p.GetDistanceKm() > 50 {
		t.Errorf("from Newark to New York: %v", p)
	}
	checkPromise(t, resp, time.Date(2031, time.May, 5, 1, 0, 0, 0, time.UTC), time.Date(2031, time.May, 6, 4, 59, 59, 0, time.UTC), 460)
	resp, err = w.PlanOrder(t.Context(), toNewYork(ale, port))
	if err != nil || fcs(resp) != "iad1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if lines := resp.GetParcels()[0].GetLines(); len(lines) != 2 || lines[1].GetLine() != 2 || lines[1].GetQuantity() != 2 {
		t.Errorf("lines %v", lines)
	}
}

// checkPromise of a plan of one parcel. The tests open at noon by UTC, which is morning in New York.
func checkPromise(t *testing.T, resp *fulfillmentv1.PlanOrderResponse, shipBy, deliverBy time.Time, cents int64) {
	t.Helper()
	p := resp.GetParcels()[0]
	if !p.GetShipBy().AsTime().Equal(shipBy) || !p.GetDeliverBy().AsTime().Equal(deliverBy) || p.GetDeliverDay() == "" || !p.GetOrderBy().AsTime().Before(shipBy) || p.GetCost().GetMinorUnits() != cents || p.GetCost().GetCurrencyCode() != "USD" {
		t.Errorf("leaves %s, comes %s, costs %v", p.GetShipBy().AsTime(), p.GetDeliverBy().AsTime(), p.GetCost())
	}
}

func TestExpressComesEarlierAndCostsMore(t *testing.T) {
	w := newWorld(t, everywhere())
	req := toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 3})
	req.ExcludedFcs = []string{"ewr1", "iad1"}
	fromSeattle := time.Date(2031, time.May, 5, 4, 0, 0, 0, time.UTC)
	for speed, want := range map[fulfillmentv1.Speed]struct {
		days  int
		cents int64
	}{
		fulfillmentv1.Speed_SPEED_UNSPECIFIED: {7, 1290 + 3*40},
		fulfillmentv1.Speed_SPEED_STANDARD:    {7, 1290 + 3*40},
		fulfillmentv1.Speed_SPEED_EXPRESS:     {3, 3190 + 3*70},
	} {
		req.Speed = speed
		resp, err := w.PlanOrder(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		checkPromise(t, resp, fromSeattle, time.Date(2031, time.May, 5+want.days, 4, 59, 59, 0, time.UTC), want.cents)
	}
}

func TestAPlanLeavesOutExcludedCenters(t *testing.T) {
	w := newWorld(t, everywhere())
	req := toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 1})
	req.ExcludedFcs = []string{"ewr1", "iad1"}
	if resp, err := w.PlanOrder(t.Context(), req); err != nil || fcs(resp) != "sea1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	req.ExcludedFcs = append(req.ExcludedFcs, "sea1")
	_, err := w.PlanOrder(t.Context(), req)
	refused(t, err, problem.Precondition, "OUT_OF_STOCK")
}

func TestACenterThatNobodyKnowsSendsNothing(t *testing.T) {
	w := newWorld(t, everywhere())
	_, err := w.PlanOrder(t.Context(), toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 61}))
	refused(t, err, problem.Precondition, "OUT_OF_STOCK")
	detail, _ := problem.Detail[*problemv1.OutOfStock](err)
	if len(detail.GetShortages()) != 1 || detail.GetShortages()[0].GetAvailable() != 60 {
		t.Errorf("got %v", detail)
	}
}

func TestAnOrderIsPlannedWithoutARegionThatFails(t *testing.T) {
	stock := everywhere()
	stock["us-east-1"] = lister{err: errors.New("away")}
	w := newWorld(t, stock)
	resp, err := w.PlanOrder(t.Context(), toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 1}))
	if err != nil || fcs(resp) != "sea1" {
		t.Fatalf("got %v, %v", resp, err)
	}
}

func TestWhenNoRegionAnswersTheStockIsUnknownNotSoldOut(t *testing.T) {
	away := lister{err: errors.New("away")}
	w := newWorld(t, map[ident.Region]StockLister{"us-east-1": away, "us-west-2": away})
	_, err := w.PlanOrder(t.Context(), toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 1}))
	refused(t, err, problem.Unavailable, "STOCK_UNKNOWN")
}

func TestABadFieldOfAPlanIsNamed(t *testing.T) {
	w := newWorld(t, everywhere())
	for name, c := range map[string]struct {
		field  string
		change func(*fulfillmentv1.PlanOrderRequest)
	}{
		"no lines":               {"lines", func(r *fulfillmentv1.PlanOrderRequest) { r.Lines = nil }},
		"no sku":                 {"lines[0].sku", func(r *fulfillmentv1.PlanOrderRequest) { r.Lines[0].Sku = "" }},
		"quantity 0":             {"lines[0].quantity", func(r *fulfillmentv1.PlanOrderRequest) { r.Lines[0].Quantity = 0 }},
		"quantity 1000":          {"lines[0].quantity", func(r *fulfillmentv1.PlanOrderRequest) { r.Lines[0].Quantity = 1000 }},
		"an unknown speed":       {"speed", func(r *fulfillmentv1.PlanOrderRequest) { r.Speed = 9 }},
		"no address":             {"ship_to.region_code", func(r *fulfillmentv1.PlanOrderRequest) { r.ShipTo = nil }},
		"an unsupported country": {"ship_to.region_code", func(r *fulfillmentv1.PlanOrderRequest) { r.ShipTo.RegionCode = "AQ" }},
	} {
		t.Run(name, func(t *testing.T) {
			req := toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: 1})
			c.change(req)
			_, err := w.PlanOrder(t.Context(), req)
			refused(t, err, problem.Invalid, "INVALID_FIELDS")
			detail, _ := problem.Detail[*problemv1.FieldViolations](err)
			if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != c.field {
				t.Errorf("got %v, want only %s", detail, c.field)
			}
		})
	}
}

func TestCentersAreReadAgainAfterAMinuteAndKeptWhenTheyCannotBe(t *testing.T) {
	w := newWorld(t, nil)
	if region, ok := w.FC(t.Context(), "sea1"); !ok || region != "us-west-2" {
		t.Fatalf("got %s, %v", region, ok)
	}
	added := Center{ID: "pdx1", Region: "us-west-2", Name: "Portland", City: "Portland", CountryCode: "US"}
	if err := w.OpenCenters(t.Context(), append([]Center{added}, centers...)); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.FC(t.Context(), "pdx1"); ok {
		t.Error("the table is read at each call")
	}
	w.clock.Advance(centersFor)
	if _, ok := w.FC(t.Context(), "pdx1"); !ok {
		t.Error("a new centre is never found")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.clock.Advance(centersFor)
	if _, ok := w.FC(gone, "pdx1"); !ok {
		t.Error("old centres are better than none")
	}
}

func TestCentersAreToldByTheirIDsWithWhereTheyAre(t *testing.T) {
	w := newWorld(t, nil)
	resp, err := w.ListCenters(t.Context(), &fulfillmentv1.ListCentersRequest{FcIds: []string{"nowhere1", "iad1"}})
	if err != nil || len(resp.GetCenters()) != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	if c := resp.GetCenters()[0]; c.GetFcId() != "iad1" || c.GetRegion() == "" || c.GetPlace().GetName() == "" || c.GetPlace().GetLatitude() == 0 || c.GetPlace().GetLongitude() == 0 {
		t.Errorf("it is %v", c)
	}
	for _, n := range []int{0, 201} {
		if _, err := w.ListCenters(t.Context(), &fulfillmentv1.ListCentersRequest{FcIds: make([]string, n)}); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%d at once: %v", n, err)
		}
	}
}

func TestShipmentsOfAnOrderAreListedByCenter(t *testing.T) {
	w := newRoad(t)
	order := ident.NewOrder("use1")
	w.requested(t, order, "iad1")
	w.requested(t, order, "ewr1")
	w.requested(t, ident.NewOrder("use1"), "ewr1")
	all := w.shipments(t, order)
	if len(all) != 2 || all[0].GetFcId() != "ewr1" || all[1].GetFcId() != "iad1" {
		t.Fatalf("got %v", all)
	}
	for _, sh := range all {
		if sh.GetState() != fulfillmentv1.ShipmentState_SHIPMENT_STATE_REQUESTED || sh.GetShippedAt() != nil || len(sh.GetLines()) != 1 || sh.GetOrderId() != string(order) {
			t.Errorf("got %v", sh)
		}
	}
	w.clock.Advance(handling + time.Second)
	w.shipDue(t, 3)
	for _, sh := range w.shipments(t, order) {
		if sh.GetState() != fulfillmentv1.ShipmentState_SHIPMENT_STATE_SHIPPED || !sh.GetShippedAt().AsTime().Equal(w.clock.Now()) || len(sh.GetTrackingNumber()) != 14 {
			t.Errorf("got %v", sh)
		}
	}
	if none := w.shipments(t, ident.NewOrder("use1")); len(none) != 0 {
		t.Errorf("got %v", none)
	}
	_, err := w.ListShipments(t.Context(), &fulfillmentv1.ListShipmentsRequest{OrderId: "order-1"})
	refused(t, err, problem.Invalid, "MALFORMED_ORDER_ID")
}
