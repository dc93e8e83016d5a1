package storefront

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
)

func TestAParcelsWayIsSketchedAndSaidInWords(t *testing.T) {
	s := newShop(t)
	s.who = guest
	page := s.get("/orders/use1-1").Body.String()
	has(t, page, `role="img" aria-label="From Worcester &amp; Sons to Boston, 61 km (38 miles). Being prepared."`, `class="parcel"`, "61 km (38 miles) as the crow flies")
	s.meanwhile = func(o *orderv1.Order) {
		x := o.GetParcels()[0]
		x.State, x.Scans = orderv1.ParcelState_PARCEL_STATE_SHIPPED, []*orderv1.Scan{{State: orderv1.WayState_WAY_STATE_IN_TRANSIT, Place: "hub 1 of <2>"}}
	}
	has(t, s.get("/orders/use1-1").Body.String(), "(38 miles). On its way, hub 1 of &lt;2&gt;.")
}

func TestWhereNothingIsKnownNothingIsSketched(t *testing.T) {
	for name, change := range map[string]func(*shop, *orderv1.Order){
		"canceled":                 func(_ *shop, o *orderv1.Order) { o.Parcels[0].State = orderv1.ParcelState_PARCEL_STATE_CANCELED },
		"erased":                   func(_ *shop, o *orderv1.Order) { o.ShipTo.PostalCode = "" },
		"from an unknown centre":   func(_ *shop, o *orderv1.Order) { o.Parcels[0].FcId = "new1" },
		"from next door":           func(_ *shop, o *orderv1.Order) { o.ShipTo.PostalCode = "01608" },
		"to a country of the past": func(_ *shop, o *orderv1.Order) { o.ShipTo.RegionCode = "SU" },
	} {
		s := newShop(t)
		s.who, s.meanwhile = guest, func(o *orderv1.Order) { change(s, o) }
		if page := s.get("/orders/use1-1").Body.String(); !strings.Contains(page, "Parcel 1") || strings.Contains(page, "as the crow flies") {
			t.Errorf("%s: it is sketched", name)
		}
	}
	s := newShop(t)
	s.who, s.nowhere = guest, errors.New("the table of centres is away")
	has(t, s.get("/orders/use1-1").Body.String(), "Parcel 1")
}

func TestAParcelIsWhereItsCarriersLastWordSays(t *testing.T) {
	up, between, out := orderv1.WayState_WAY_STATE_PICKED_UP, orderv1.WayState_WAY_STATE_IN_TRANSIT, orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY
	failed, done, back := orderv1.WayState_WAY_STATE_EXCEPTION, orderv1.WayState_WAY_STATE_DELIVERED, orderv1.WayState_WAY_STATE_SENT_BACK
	shareOf := func(states ...orderv1.WayState) float64 {
		x := &orderv1.Parcel{}
		for _, state := range states {
			x.Scans = append(x.Scans, &orderv1.Scan{State: state})
		}
		return shareGone(x)
	}
	last := -1.0
	for _, way := range [][]orderv1.WayState{{}, {up}, {up, between}, {up, between, between}, {up, between, between, between, between, between, between, between, out}, {up, between, out, done}} {
		if share := shareOf(way...); share <= last || share > 1 {
			t.Errorf("after %v it is at %v, before at %v", way, share, last)
		} else {
			last = share
		}
	}
	if shareOf(up, between, out, failed) != shareOf(up, between, out) || shareOf(up, between, failed, back) != 0 {
		t.Error("what could not be delivered has moved, or what was sent back has not")
	}
}

func TestASketchStaysWithinItsDrawing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := func(name string) geo.Point {
			return geo.Point{Lat: rapid.Float64Range(-60, 60).Draw(t, name+" north"), Lon: rapid.Float64Range(-180, 180).Draw(t, name+" east")}
		}
		from, door := place("from"), place("door")
		center := &fulfillmentv1.Center{Place: &fulfillmentv1.Place{Name: rapid.String().Draw(t, "name"), Latitude: from.Lat, Longitude: from.Lon}}
		x := &orderv1.Parcel{Scans: []*orderv1.Scan{{State: orderv1.WayState(rapid.IntRange(0, 6).Draw(t, "state"))}}}
		s := sketchOf(x, center, door, "Door", "")
		if s == nil {
			return
		}
		const slack = 1e-6
		for _, at := range []spot{s.From, s.To, s.Parcel} {
			if !(math.Abs(at.X-sketchWidth/2) <= sketchWidth/2-sketchMargin+slack) || !(math.Abs(at.Y-sketchHeight/2) <= sketchHeight/2-sketchMargin+slack) || len([]rune(at.Name)) > maxSpotName {
				t.Fatalf("%+v is outside", at)
			}
		}
		const farthest = 10_000 // km between any FC and any door there are; beyond it a way may lead over a pole, and back
		if geo.DistanceKM(from, door) < farthest && math.Hypot(s.From.X-s.To.X, s.From.Y-s.To.Y) < sketchMargin {
			t.Fatalf("%+v and %+v are one", s.From, s.To)
		}
		if bad := fmt.Sprint(s.Gone, s.Ahead); strings.Contains(bad, "NaN") || strings.Contains(bad, "Inf") {
			t.Fatal(bad)
		}
	})
}
