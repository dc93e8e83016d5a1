package fulfillment

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/carrier"
	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

const (
	silence   = 10 * time.Minute
	signedBy  = "carrier-events"
	delivered = orderv1.WayState_WAY_STATE_DELIVERED
	away      = 60 * 24 * time.Hour // further than any way is long
)

// road is a world with a carrier: the stand-in, over HTTP, with a clock of its own.
type road struct {
	world
	*testing.T
	client *carrier.Client
	server *httptest.Server
	drive  *clock.Manual
}

func newRoad(t *testing.T, options ...sqldbtest.Option) road {
	t.Helper()
	r := road{T: t, drive: clock.NewManual(opened)}
	stand, err := sandbox.NewCarrier(sandbox.CarrierDeps{Clock: r.drive, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(stand)
	t.Cleanup(func() { r.server.Close(); _ = stand.Close() })
	if r.client, err = carrier.New(carrier.Config{BaseURL: r.server.URL}); err != nil {
		t.Fatal(err)
	}
	webhook, err := carrier.NewWebhook(signedBy)
	if err != nil {
		t.Fatal(err)
	}
	r.world = newWorld(t, nil, options...)
	*r.extra = Deps{
		Carrier: Guarded(r.client, breaker.NewOne("carrier", nil)), CarrierName: "Parcel Post", CarrierEvents: webhook, TrackEvery: silence,
		Scans: map[ident.Region]ScanTaker{},
	}
	r.Service = r.cell(r.Service.deps.Global, r.db, nil)
	return r
}

// sent gives a new order's shipment that has just left.
func (r road) sent() (ident.OrderID, *fulfillmentv1.Shipment) {
	r.Helper()
	order := ident.NewOrder("usw2")
	r.requested(r.T, order, "iad1")
	r.clock.Advance(handling)
	r.shipDue(r.T, 1)
	all := r.shipments(r.T, order)
	if len(all) != 1 || all[0].GetState() != stateShipped {
		r.Fatalf("it has not left: %v", all)
	}
	return order, all[0]
}

// way of a parcel, whole.
func (r road) way(number string) []carrier.Scan {
	r.Helper()
	r.drive.Advance(away)
	p, err := r.client.Find(r.Context(), number)
	if err != nil || !p.Status.Ended() || len(p.Scans) < 4 {
		r.Fatalf("its way is %v, %v", p.Scans, err)
	}
	return p.Scans
}

// told posts a scan as the carrier does.
func (r road) told(sh *fulfillmentv1.Shipment, scan carrier.Scan) int {
	r.Helper()
	e := carrier.Event{ID: sh.GetShipmentId() + "/" + strconv.Itoa(scan.Seq), TrackingNumber: cmp.Or(sh.GetTrackingNumber(), "CC1"), Scan: scan,
		Reference: sh.GetFcId() + "/" + sh.GetOrderId() + "/" + sh.GetShipmentId()}
	return r.post(signedBy, e)
}

func (r road) post(key string, e carrier.Event) int {
	r.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		r.Fatal(err)
	}
	t := strconv.FormatInt(r.clock.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set(carrier.SignatureHeader, "t="+t+",v1="+hex.EncodeToString(mac.Sum(nil)))
	answer := httptest.NewRecorder()
	r.Webhook().ServeHTTP(answer, req)
	return answer.Code
}

// faults of the carrier, as JSON.
func (r road) faults(text string) {
	r.Helper()
	resp, err := http.Post(r.server.URL+"/carrier/v1/faults", "application/json", strings.NewReader(text))
	if err != nil {
		r.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		r.Fatalf("faults %s: %s", text, resp.Status)
	}
}

// track expects a number of shipments to be asked after.
func (r road) track(want int) {
	r.Helper()
	if n, err := r.TrackDue(r.Context()); err != nil || n != want {
		r.Fatalf("asked after %d, %v; want %d", n, err, want)
	}
}

// one is the only shipment of an order.
func (r road) one(order ident.OrderID) *fulfillmentv1.Shipment {
	r.Helper()
	all := r.shipments(r.T, order)
	if len(all) != 1 {
		r.Fatalf("shipments: %v", all)
	}
	return all[0]
}

func TestAParcelIsBookedHandedOverAndThenOffTheBooks(t *testing.T) {
	r := newRoad(t)
	order, sh := r.sent()
	p, err := r.client.Find(t.Context(), sh.GetTrackingNumber())
	if err != nil || p.HandedOverAt == nil || p.Reference != "iad1/"+string(order)+"/"+sh.GetShipmentId() {
		t.Fatalf("the carrier has %+v, %v", p, err)
	}
	if sh.GetCarrier() != "Parcel Post" || r.shelf.count("iad1", order) != 1 {
		t.Errorf("carried by %q; its stock left %d times", sh.GetCarrier(), r.shelf.count("iad1", order))
	}
	r.left(t, order)
}

func TestACellThatDiesAfterTheHandOverSendsOneParcel(t *testing.T) {
	dead := false
	r := newRoad(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && dead {
			return errors.New("the process has died")
		}
		return nil
	}))
	order := ident.NewOrder("usw2")
	r.requested(t, order, "iad1")
	r.clock.Advance(handling)
	dead = true
	r.shipDue(t, 1)
	dead = false
	before := r.one(order)
	if before.GetState() != fulfillmentv1.ShipmentState_SHIPMENT_STATE_PACKED {
		t.Fatalf("it is %v", before)
	}
	// The carrier tells of it before anybody has written that it has left.
	early := carrier.Scan{Seq: 1, Status: carrier.PickedUp, At: opened}
	if got := r.told(before, early); got != http.StatusServiceUnavailable {
		t.Errorf("a scan that comes too early is answered %d", got)
	}
	// The FC moves to another street meanwhile: the carrier is asked what it was asked before.
	moved := centers[1]
	moved.At.Lat += 0.5
	if err := r.OpenCenters(t.Context(), []Center{moved}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(shipRetry)
	r.shipDue(t, 1)
	r.left(t, order)
	if got := r.told(r.one(order), early); got != http.StatusOK {
		t.Errorf("told again it is answered %d", got)
	}
}

func TestWhileTheCarrierIsAwayStockStaysAndIsAskedForMoreSeldom(t *testing.T) {
	r := newRoad(t)
	order := ident.NewOrder("usw2")
	r.requested(t, order, "iad1")
	r.clock.Advance(handling)
	r.faults(`{"unavailable_percent": 100}`)
	for _, wait := range []time.Duration{shipRetry, 2 * shipRetry, 4 * shipRetry, 8 * shipRetry, 8 * shipRetry} {
		r.shipDue(t, 1)
		r.clock.Advance(wait - time.Microsecond)
		r.shipDue(t, 0)
		r.clock.Advance(time.Microsecond)
	}
	if n := r.shelf.count("iad1", order); n != 0 {
		t.Errorf("its stock left the books %d times, and it is in the building", n)
	}
	r.faults(`{}`)
	*r.extra = r.Service.deps
	r.extra.Carrier = r.client // the breaker is open still, by the wall clock
	r.Service = r.cell(r.Service.deps.Global, r.db, nil)
	r.shipDue(t, 1)
	r.left(t, order)
}
