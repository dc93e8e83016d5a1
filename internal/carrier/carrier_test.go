package carrier_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/carrier"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/sandbox"
)

const key = "a key for tests of webhooks, long enough"

var now = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// real is the sandbox's carrier, and a client of it.
func real(t *testing.T) (*carrier.Client, *clock.Manual, string) {
	t.Helper()
	c := clock.NewManual(now)
	handler, err := sandbox.NewCarrier(sandbox.CarrierDeps{Clock: c, Logger: slog.New(slog.DiscardHandler), WebhookKey: key})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		_ = handler.Close()
	})
	return client(t, server.URL), c, server.URL
}

func client(t *testing.T, address string) *carrier.Client {
	t.Helper()
	c, err := carrier.New(carrier.Config{BaseURL: address})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func booking(key string) carrier.Booking {
	return carrier.Booking{
		Key: key, Reference: "shipment " + key, Service: carrier.Express, PromisedBy: now.Add(48 * time.Hour),
		From: carrier.Place{Name: "Ashburn", Lat: 39, Lon: -77.5}, To: carrier.Place{Name: "Boston", Lat: 42.4, Lon: -71.1},
	}
}

func TestAParcelGoesFromBookingToTheDoor(t *testing.T) {
	c, clock, _ := real(t)
	p, err := c.Book(t.Context(), booking("k"))
	if err != nil || p.Status != carrier.Booked {
		t.Fatal(p, err)
	}
	if again, err := c.Book(t.Context(), booking("k")); err != nil || again.TrackingNumber != p.TrackingNumber {
		t.Fatal(again, err)
	}
	if label, err := c.Label(t.Context(), p.TrackingNumber); err != nil || !strings.Contains(string(label), p.TrackingNumber) {
		t.Fatalf("%s, %v", label, err)
	}
	if p, err = c.HandOver(t.Context(), p.TrackingNumber); err != nil || p.Status != carrier.PickedUp {
		t.Fatal(p, err)
	}
	clock.Advance(48 * time.Hour)
	if p, err = c.Find(t.Context(), p.TrackingNumber); err != nil || !p.Status.Ended() || p.Scans[len(p.Scans)-1].Status != carrier.Delivered {
		t.Fatal(p, err)
	}
	if _, err := c.Cancel(t.Context(), p.TrackingNumber); !carrier.Refused(err, carrier.CodeHandedOver) {
		t.Errorf("cancel: %v", err)
	}
	if _, err := c.Find(t.Context(), "CC0"); !carrier.Refused(err, carrier.CodeUnknownParcel) {
		t.Errorf("unknown: %v", err)
	}
}

func TestACanceledParcelIsNotTaken(t *testing.T) {
	c, _, _ := real(t)
	p, err := c.Book(t.Context(), booking("k"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err = c.Cancel(t.Context(), p.TrackingNumber); err != nil || p.Status != carrier.Canceled {
		t.Fatal(p, err)
	}
	if _, err := c.HandOver(t.Context(), p.TrackingNumber); !carrier.Refused(err, carrier.CodeCanceled) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNotUnderstoodIsNotKnown(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"a failure":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		"too many":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
		"no JSON":         func(w http.ResponseWriter) { _, _ = io.WriteString(w, "welcome") },
		"another state":   func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"tracking_number":"CC1","status":"eaten"}`) },
		"an endless one":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) },
		"a broken answer": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
			defer server.Close()
			if _, err := client(t, server.URL).Book(t.Context(), booking("k")); !errors.Is(err, carrier.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := carrier.New(carrier.Config{BaseURL: "parcels.example"}); err == nil {
		t.Error("an address without a scheme was accepted")
	}
}

func TestOnlyTheCarriersFreshScansAreRead(t *testing.T) {
	c, clock, address := real(t)
	got := make(chan [2]string, 8)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- [2]string{r.Header.Get(carrier.SignatureHeader), string(body)}
	}))
	defer hook.Close()
	resp, err := http.Post(address+"/carrier/v1/webhook", "application/json", strings.NewReader(`{"url":"`+hook.URL+`"}`))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	p, err := c.Book(t.Context(), booking("k"))
	if err == nil {
		_, err = c.HandOver(t.Context(), p.TrackingNumber)
	}
	if err != nil {
		t.Fatal(err)
	}
	told := <-got
	w, err := carrier.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := carrier.NewWebhook("another key, which is long enough too")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{carrier.SignatureHeader: {told[0]}}
	e, err := w.Event(header, []byte(told[1]), clock.Now())
	if err != nil || e.TrackingNumber != p.TrackingNumber || e.Scan.Seq != 1 || e.Scan.Status != carrier.PickedUp || e.Reference != "shipment k" {
		t.Errorf("%+v, %v", e, err)
	}
	for name, try := range map[string]func() error{
		"another body": func() error { _, err := w.Event(header, []byte(told[1]+" "), clock.Now()); return err },
		"much later":   func() error { _, err := w.Event(header, []byte(told[1]), clock.Now().Add(6*time.Minute)); return err },
		"no signature": func() error { _, err := w.Event(http.Header{}, []byte(told[1]), clock.Now()); return err },
		"other's key": func() error {
			_, err := other.Event(header, []byte(told[1]), clock.Now())
			return err
		},
	} {
		if err := try(); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := carrier.NewWebhook(""); err == nil {
		t.Error("an empty key was accepted")
	}
}
