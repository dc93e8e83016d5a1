package fulfillment

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/carrier"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"google.golang.org/protobuf/proto"
)

// news are the numbers of scans that an order was told, event by event.
func (r road) news(sh *fulfillmentv1.Shipment) (lengths []int) {
	r.Helper()
	rows, err := r.db.QueryText(context.WithoutCancel(r.Context()), "SELECT payload FROM outbox WHERE region = 'us-east-1' AND subject LIKE 'order.%.scanned' AND message_id LIKE 'shipment/"+sh.GetShipmentId()+"/%' ORDER BY id")
	if err != nil {
		r.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		var e fulfillmentv1.ShipmentScanned
		if err := rows.Scan(&payload); err != nil {
			r.Fatal(err)
		}
		if err := proto.Unmarshal(payload, &e); err != nil {
			r.Fatal(err)
		}
		if e.GetShipment().GetOrderId() != sh.GetOrderId() || e.GetShipment().GetTrackingNumber() != sh.GetTrackingNumber() || !e.GetShipment().GetShippedAt().IsValid() {
			r.Errorf("the event says %v", &e)
		}
		lengths = append(lengths, len(e.GetScans()))
	}
	return lengths
}

func TestTheWayOfAParcelIsTheSameHoweverItIsTold(t *testing.T) {
	r := newRoad(t)
	order, sh := r.sent()
	whole := r.way(sh.GetTrackingNumber()) // every parcel here goes from the same FC to the same door
	_ = order
	rapid.Check(t, func(rt *rapid.T) {
		order, sh := r.sent()
		way := whole
		told := 0
		for range rapid.IntRange(0, 9).Draw(rt, "messages") {
			scan := way[rapid.IntRange(0, len(way)-1).Draw(rt, "scan")] // in any order, some twice, some never
			if status := r.told(sh, scan); status != http.StatusOK {
				rt.Fatalf("scan %d is answered %d", scan.Seq, status)
			}
			now := r.one(order)
			if len(now.GetScans()) < told {
				rt.Fatalf("%d scans were known, and now %d", told, len(now.GetScans()))
			}
			told = len(now.GetScans())
			if told > 0 && now.GetWay() != now.GetScans()[told-1].GetState() {
				rt.Fatalf("after %d scans it is %v", told, now.GetWay())
			}
		}
		r.drive.Advance(away)
		r.clock.Advance(silence)
		if _, err := r.TrackDue(t.Context()); err != nil { // what was lost is asked for
			rt.Fatal(err)
		}
		end := r.one(order)
		if end.GetWay() != delivered || len(end.GetScans()) < 4 {
			rt.Fatalf("it ends as %v after %d scans", end.GetWay(), len(end.GetScans()))
		}
		for i, scan := range end.GetScans() {
			if int(scan.GetSeq()) != i+1 {
				rt.Fatalf("scan %d follows %d others", scan.GetSeq(), i)
			}
		}
		if n := r.news(sh); !slices.IsSorted(n) || len(slices.Compact(slices.Clone(n))) != len(n) || n[len(n)-1] != len(end.GetScans()) {
			rt.Fatalf("the order was told %v of %d scans", n, len(end.GetScans()))
		}
		for _, scan := range way { // all over again, after the end
			r.told(sh, scan)
		}
		r.clock.Advance(silence)
		r.track(0)
		if again := r.one(order); !proto.Equal(again, end) {
			rt.Fatalf("it has ended as %v, and now is %v", end, again)
		}
	})
}

func TestAScanThatWasOvertakenIsAskedForSoon(t *testing.T) {
	r := newRoad(t)
	order, sh := r.sent()
	way := r.way(sh.GetTrackingNumber())
	if got := r.told(sh, way[1]); got != http.StatusOK {
		t.Fatalf("answered %d", got)
	}
	if now := r.one(order); len(now.GetScans()) != 0 || now.GetWay() != 0 {
		t.Errorf("the first scan is missing, and it is %v", now.GetWay())
	}
	r.clock.Advance(gapPatience - time.Microsecond)
	r.track(0)
	r.clock.Advance(time.Microsecond)
	r.track(1)
	if now := r.one(order); now.GetWay() != delivered {
		t.Errorf("the carrier has all scans, and it is %v", now.GetWay())
	}
}

func TestACarrierThatSaysNothingIsAsked(t *testing.T) {
	r := newRoad(t)
	order, _ := r.sent()
	r.clock.Advance(silence - time.Microsecond)
	r.track(0)
	r.clock.Advance(time.Microsecond)
	r.track(1) // on its way: picked up
	if now := r.one(order); now.GetWay() != orderv1.WayState_WAY_STATE_PICKED_UP {
		t.Errorf("it is %v", now.GetWay())
	}
	r.drive.Advance(away)
	r.server.Config.SetKeepAlivesEnabled(true)
	r.clock.Advance(silence)
	r.track(1)
	r.clock.Advance(silence)
	r.track(0)
	if now := r.one(order); now.GetWay() != delivered {
		t.Errorf("it is %v", now.GetWay())
	}
}

// elsewhere plays another region's cell.
type elsewhere struct {
	got []*fulfillmentv1.RecordScansRequest
}

func (e *elsewhere) RecordScans(_ context.Context, req *fulfillmentv1.RecordScansRequest) (*fulfillmentv1.RecordScansResponse, error) {
	e.got = append(e.got, req)
	return &fulfillmentv1.RecordScansResponse{}, nil
}

func TestAScanGoesToTheRegionOfItsFC(t *testing.T) {
	r := newRoad(t)
	west := &elsewhere{}
	r.Service.deps.Scans["us-west-2"] = west
	order := string(ident.NewOrder("euc1"))
	e := carrier.Event{ID: "x/1", TrackingNumber: "CC1", Reference: "sea1/" + order + "/s1", Scan: carrier.Scan{Seq: 1, Status: carrier.PickedUp, At: opened, Place: carrier.Place{Name: "Seattle"}}}
	if got := r.post(signedBy, e); got != http.StatusOK || len(west.got) != 1 {
		t.Fatalf("answered %d; the west was told %v", got, west.got)
	}
	if got := west.got[0]; got.GetFcId() != "sea1" || got.GetOrderId() != order || got.GetShipmentId() != "s1" || got.GetScans()[0].GetPlace() != "Seattle" {
		t.Errorf("the west was told %v", got)
	}
}

func TestAWebhookTakesOnlyWhatTheCarrierSigned(t *testing.T) {
	r := newRoad(t)
	order, sh := r.sent()
	scan := carrier.Scan{Seq: 1, Status: carrier.PickedUp, At: opened}
	event := func(reference string, scan carrier.Scan) carrier.Event {
		return carrier.Event{ID: "x/1", TrackingNumber: "CC1", Reference: reference, Scan: scan}
	}
	ours := "iad1/" + string(order) + "/" + sh.GetShipmentId()
	for name, c := range map[string]struct {
		key  string
		e    carrier.Event
		want int
	}{
		"another key":                {"guessed", event(ours, scan), http.StatusBadRequest},
		"a parcel of somebody else":  {signedBy, event("box 17", scan), http.StatusOK},
		"a shipment that is not":     {signedBy, event("iad1/"+string(order)+"/other", scan), http.StatusOK},
		"an FC that is not":          {signedBy, event("xxx9/"+string(order)+"/other", scan), http.StatusServiceUnavailable},
		"a region that is not there": {signedBy, event("sea1/"+string(order)+"/other", scan), http.StatusServiceUnavailable},
		"what is no scan":            {signedBy, event(ours, carrier.Scan{Seq: 1, Status: carrier.Booked, At: opened}), http.StatusBadRequest},
	} {
		if got := r.post(c.key, c.e); got != c.want {
			t.Errorf("%s is answered %d, want %d", name, got, c.want)
		}
	}
	if now := r.one(order); len(now.GetScans()) != 0 {
		t.Errorf("it was scanned: %v", now.GetScans())
	}
	r.Service.deps.CarrierEvents = nil
	if got := r.told(sh, scan); got != http.StatusNotFound {
		t.Errorf("without a key it is answered %d", got)
	}
}

func TestScansAreChecked(t *testing.T) {
	r := newRoad(t)
	order, sh := r.sent()
	_, err := r.RecordScans(t.Context(), &fulfillmentv1.RecordScansRequest{FcId: "sea1", OrderId: string(order), ShipmentId: sh.GetShipmentId()})
	refused(t, err, problem.Invalid, "FOREIGN_FC")
	for _, scan := range []*orderv1.Scan{{}, {Seq: 1, State: 99}, {Seq: maxScans + 1, State: delivered}, {Seq: 1, State: delivered}} {
		_, err := r.RecordScans(t.Context(), &fulfillmentv1.RecordScansRequest{FcId: "iad1", OrderId: string(order), ShipmentId: sh.GetShipmentId(), Scans: []*orderv1.Scan{scan}})
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%v: %v", scan, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("iad1/" + string(ident.NewOrder("use1")) + "/abc")
	f.Add("//")
	f.Fuzz(func(t *testing.T, text string) {
		fc, order, id, ok := parseReference(text)
		if ok && reference(&shipment{fc: fc, order: string(order), id: id}) != text {
			t.Errorf("%q was read as %q, %q, %q", text, fc, order, id)
		}
	})
}

func FuzzClip(f *testing.F) {
	f.Add("Zürich", 2)
	f.Add("\xff\xfe", 1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = min(max(n, 0), 300)
		got := clip(text, n)
		if len(got) > n || !strings.HasPrefix(strings.ToValidUTF8(text, "?"), got) || got != strings.ToValidUTF8(got, "") {
			t.Errorf("%q at %d is %q", text, n, got)
		}
	})
}
