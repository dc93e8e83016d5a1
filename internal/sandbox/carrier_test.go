package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// yard is a carrier without a socket, on a clock that stands still.
type yard struct {
	*Carrier
	clock *clock.Manual
}

func newYard(t *testing.T, deps CarrierDeps) *yard {
	t.Helper()
	y := &yard{clock: clock.NewManual(testNow)}
	deps.Clock, deps.Logger = y.clock, slog.New(slog.DiscardHandler)
	c, err := NewCarrier(deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	y.Carrier = c
	return y
}

func (y *yard) send(method, path, key, body string) reply {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	recorder := httptest.NewRecorder()
	y.ServeHTTP(recorder, request)
	return reply{status: recorder.Code, body: recorder.Body.String()}
}

func (y *yard) parcel(t *testing.T, got reply) Parcel {
	t.Helper()
	var p Parcel
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.TrackingNumber == "" {
		t.Fatalf("no parcel: %d %s", got.status, got.body)
	}
	return p
}

func booking(reference string) string {
	return `{"reference":"` + reference + `","service":"standard","from":{"name":"Ashburn VA","lat":39.04,"lon":-77.49},"to":{"name":"Boston MA","lat":42.36,"lon":-71.06},"promised_by":"` +
		testNow.Add(72*time.Hour).Format(time.RFC3339) + `"}`
}

func (y *yard) book(t *testing.T, key string) Parcel {
	t.Helper()
	got := y.send(http.MethodPost, "/carrier/v1/parcels", key, booking(key))
	if got.status != http.StatusCreated {
		t.Fatalf("booking: %d %s", got.status, got.body)
	}
	return y.parcel(t, got)
}

func (y *yard) handOver(t *testing.T, number string) {
	t.Helper()
	if got := y.send(http.MethodPost, "/carrier/v1/parcels/"+number+"/handover", "", ""); got.status != http.StatusOK {
		t.Fatalf("handover: %d %s", got.status, got.body)
	}
}

func (y *yard) look(t *testing.T, number string) Parcel {
	t.Helper()
	return y.parcel(t, y.send(http.MethodGet, "/carrier/v1/parcels/"+number, "", ""))
}

func TestABookingIsOneHoweverOftenItIsSent(t *testing.T) {
	y := newYard(t, CarrierDeps{})
	first := y.book(t, "k")
	if again := y.parcel(t, y.send(http.MethodPost, "/carrier/v1/parcels", `"k"`, booking("k"))); again.TrackingNumber != first.TrackingNumber {
		t.Errorf("%s and %s", first.TrackingNumber, again.TrackingNumber)
	}
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels", "k", booking("other")), 422, "idempotency_key_reused")
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels", "", booking("k")), 400, "idempotency_key_missing")
	if !luhn(strings.TrimPrefix(first.TrackingNumber, "CC")) {
		t.Errorf("%s has no check digit", first.TrackingNumber)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	y := newYard(t, CarrierDeps{})
	for wrong, code := range map[string]string{
		strings.Replace(booking("x"), "standard", "balloon", 1): "invalid_service",
		strings.Replace(booking("x"), "39.04", "99", 1):         "invalid_place",
		booking(""): "invalid_reference",
		strings.Replace(booking("x"), "2031-04", "2032-04", 1):          "invalid_promise",
		strings.Replace(booking("x"), `"service"`, `"weight":1,"x"`, 1): "unknown_field",
	} {
		if got := y.send(http.MethodPost, "/carrier/v1/parcels", "k", wrong); got.code() != code {
			t.Errorf("%s: got %d %s", code, got.status, got.body)
		}
	}
	expect(t, y.send(http.MethodGet, "/carrier/v1/parcels/CC1", "", ""), 404, "no_such_parcel")
	expect(t, y.send(http.MethodGet, "/carrier/v1/nothing", "", ""), 404, "no_such_endpoint")
	if _, err := NewCarrier(CarrierDeps{Clock: y.clock, Logger: slog.New(slog.DiscardHandler), Day: time.Millisecond}); err == nil {
		t.Error("a day of a millisecond was accepted")
	}
}

func TestAParcelMovesOnceItIsHandedOverAndNotBefore(t *testing.T) {
	y := newYard(t, CarrierDeps{})
	p := y.book(t, "k")
	y.clock.Advance(96 * time.Hour)
	if got := y.look(t, p.TrackingNumber); got.Status != ParcelBooked || len(got.Scans) > 0 {
		t.Fatalf("before: %+v", got)
	}
	y.handOver(t, p.TrackingNumber)
	y.clock.Advance(time.Hour)
	y.handOver(t, p.TrackingNumber) // again: nothing new
	if got := y.look(t, p.TrackingNumber); got.Status != ParcelPickedUp || len(got.Scans) != 1 || !got.HandedOverAt.Equal(testNow.Add(96*time.Hour)) {
		t.Fatalf("handed over: %+v", got)
	}
	y.clock.Advance(72 * time.Hour)
	got := y.look(t, p.TrackingNumber)
	var way []ParcelStatus
	for _, s := range got.Scans {
		way = append(way, s.Status)
	}
	if want := []ParcelStatus{ParcelPickedUp, ParcelInTransit, ParcelOutForDelivery, ParcelDelivered}; !slices.Equal(way, want) || got.Status != ParcelDelivered {
		t.Errorf("the way was %v", way)
	}
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels/"+p.TrackingNumber+"/cancel", "", ""), 409, "handed_over")
	if label := y.send(http.MethodGet, "/carrier/v1/parcels/"+p.TrackingNumber+"/label", "", ""); !strings.Contains(label.body, p.TrackingNumber) || !strings.HasPrefix(label.body, "<svg") {
		t.Errorf("the label is %s", label.body)
	}
}

func TestWhatIsCanceledIsNotTaken(t *testing.T) {
	y := newYard(t, CarrierDeps{})
	p := y.book(t, "k")
	for range 2 {
		if got := y.send(http.MethodPost, "/carrier/v1/parcels/"+p.TrackingNumber+"/cancel", "", ""); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels/"+p.TrackingNumber+"/handover", "", ""), 409, "canceled")
}

func TestARestartForgetsNoParcel(t *testing.T) {
	dir := t.TempDir()
	y := newYard(t, CarrierDeps{DataDir: dir})
	booked, moving, canceled := y.book(t, "a"), y.book(t, "b"), y.book(t, "c")
	y.handOver(t, moving.TrackingNumber)
	y.send(http.MethodPost, "/carrier/v1/parcels/"+canceled.TrackingNumber+"/cancel", "", "")
	y.clock.Advance(80 * time.Hour)
	want := []Parcel{y.look(t, booked.TrackingNumber), y.look(t, moving.TrackingNumber), y.look(t, canceled.TrackingNumber)}
	if _, err := NewCarrier(CarrierDeps{DataDir: dir, Clock: y.clock, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two carriers share a journal")
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels", "d", booking("d")), 503, "journal")
	again := newYard(t, CarrierDeps{DataDir: dir})
	again.clock.Advance(80 * time.Hour)
	for _, p := range want {
		if got := again.look(t, p.TrackingNumber); !equalJSON(t, got, p) {
			t.Errorf("was %+v, is %+v", p, got)
		}
	}
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return string(x) == string(y)
}

// scansHook is a listener for scans.
type scansHook struct {
	mu    sync.Mutex
	got   []scanEvent
	wrong int
	y     *yard
}

func (h *scansHook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var e scanEvent
	_ = json.Unmarshal(body, &e)
	h.mu.Lock()
	defer h.mu.Unlock()
	said := r.Header.Get(carrierSignatureHeader) // "t=<seconds>,v1=…": the clock may have gone on since
	var at int64
	if _, err := fmt.Sscanf(said, "t=%d,", &at); err != nil || said != h.y.events.sign(time.Unix(at, 0), body) {
		h.wrong++
	}
	h.got = append(h.got, e)
}

// through the whole way of a parcel, scan by scan; gives how often each was told.
func (h *scansHook) through(t *testing.T, number string) map[int]int {
	t.Helper()
	for range 8 {
		if err := h.y.clock.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		h.y.clock.Advance(30 * time.Hour)
	}
	if err := h.y.clock.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.y.events.busy.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	told := map[int]int{}
	for _, e := range h.got {
		if e.TrackingNumber == number {
			told[e.Scan.Seq]++
		}
	}
	return told
}

func TestEveryScanIsTold(t *testing.T) {
	for name, want := range map[string]struct {
		faults string
		times  int
	}{
		"once": {`{}`, 1}, "twice": {`{"webhook_duplicate_percent":100}`, 2}, "never": {`{"webhook_lost_percent":100}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, CarrierDeps{WebhookKey: hookKey})
			h := &scansHook{y: y}
			server := httptest.NewServer(h)
			defer server.Close()
			if got := y.send(http.MethodPost, "/carrier/v1/webhook", "", `{"url":"`+server.URL+`"}`); got.status != 200 {
				t.Fatal(got)
			}
			if got := y.send(http.MethodPost, "/carrier/v1/faults", "", want.faults); got.status != 200 {
				t.Fatal(got)
			}
			p := y.book(t, "k")
			y.handOver(t, p.TrackingNumber)
			told := h.through(t, p.TrackingNumber)
			for seq := 1; seq <= 4; seq++ {
				if told[seq] != want.times {
					t.Errorf("scan %d was told %d times", seq, told[seq])
				}
			}
			if h.wrong > 0 {
				t.Errorf("%d signatures are wrong", h.wrong)
			}
		})
	}
}

func TestFaultsChangeTheWay(t *testing.T) {
	for fault, want := range map[string][]ParcelStatus{
		"late_percent":      {ParcelPickedUp, ParcelInTransit, ParcelOutForDelivery, ParcelDelivered},
		"exception_percent": {ParcelPickedUp, ParcelInTransit, ParcelOutForDelivery, ParcelException, ParcelOutForDelivery, ParcelDelivered},
		"returned_percent":  {ParcelPickedUp, ParcelInTransit, ParcelOutForDelivery, ParcelException, ParcelReturned},
	} {
		y := newYard(t, CarrierDeps{Day: time.Minute})
		y.send(http.MethodPost, "/carrier/v1/faults", "", `{"`+fault+`":100}`)
		p := y.book(t, "k")
		y.handOver(t, p.TrackingNumber)
		y.clock.Advance(10 * time.Minute)
		got := y.look(t, p.TrackingNumber)
		var way []ParcelStatus
		for _, s := range got.Scans {
			way = append(way, s.Status)
		}
		if !slices.Equal(way, want) {
			t.Errorf("%s: %v", fault, way)
		}
		if late := got.Scans[len(got.Scans)-1].At.Sub(testNow) > 3*time.Minute; fault == "late_percent" && !late {
			t.Errorf("it is not late: %+v", got.Scans)
		}
	}
	y := newYard(t, CarrierDeps{})
	expect(t, y.send(http.MethodPost, "/carrier/v1/faults", "", `{"late_percent":101}`), 422, "invalid_faults")
	y.send(http.MethodPost, "/carrier/v1/faults", "", `{"unavailable_percent":100}`)
	expect(t, y.send(http.MethodPost, "/carrier/v1/parcels", "k", booking("k")), 503, "unavailable")
	y.send(http.MethodDelete, "/carrier/v1/faults", "", "")
	y.book(t, "k")
}

func TestEveryWayIsInOrderAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := func(name string) Place {
			return Place{Name: name, Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, "lon")}
		}
		p := Parcel{TrackingNumber: trackingNumber(rapid.String().Draw(t, "key")), From: place("a"), To: place("b"), BookedAt: testNow}
		p.PromisedBy = testNow.Add(time.Duration(rapid.Int64Range(-1e15, 5e15).Draw(t, "promise")))
		day := time.Duration(rapid.Int64Range(int64(minDay), int64(defaultDay)).Draw(t, "day"))
		wrong := rapid.SampledFrom([]mishap{noMishap, mishapLate, mishapAgain, mishapBack}).Draw(t, "mishap")
		way := journey(p, testNow.Add(time.Minute), wrong, day)
		for i, s := range way {
			if s.Seq != i+1 || (i > 0 && s.At.Before(way[i-1].At)) || !s.Place.valid() {
				t.Fatalf("scan %d: %+v after %+v", i, s, way[max(i-1, 0)])
			}
		}
		if last := way[len(way)-1].Status; last != ParcelDelivered && last != ParcelReturned {
			t.Fatalf("it ends %s", last)
		}
	})
}

func FuzzBooking(f *testing.F) {
	f.Add(booking("x"))
	f.Add(`{"reference":"\u0000"}`)
	f.Fuzz(func(t *testing.T, body string) {
		c := clock.NewManual(testNow)
		y, err := NewCarrier(CarrierDeps{Clock: c, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = y.Close() }()
		request := httptest.NewRequest(http.MethodPost, "/carrier/v1/parcels", strings.NewReader(body))
		request.Header.Set("Idempotency-Key", "k")
		recorder := httptest.NewRecorder()
		y.ServeHTTP(recorder, request)
		if recorder.Code >= 500 {
			t.Errorf("%d for %q", recorder.Code, body)
		}
	})
}
