package router

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func limited(t *testing.T, header http.Header, fill func(*Router)) *httptest.ResponseRecorder {
	t.Helper()
	// Nobody listens at these cells' addresses, and the clock stands still: whoever waits, waits for ever.
	r := New(Deps{Region: "us-east-1", Maps: testTable(t).maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
	fill(r)
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/test.v1.EchoService/Say", strings.NewReader("{}"))
	req.Header = header
	r.ServeHTTP(w, req)
	if r.inFlight.Load() != maxInFlight && r.inFlight.Load() != 0 || r.waiting.Load() != maxWaiting && r.waiting.Load() != 0 {
		t.Errorf("%d in flight, %d waiting", r.inFlight.Load(), r.waiting.Load())
	}
	return w
}

func TestBeyondItsLimitARouterRefusesAtOnce(t *testing.T) {
	w := limited(t, http.Header{}, func(r *Router) { r.inFlight.Store(maxInFlight) })
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "resource_exhausted") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestBeyondItsLimitNobodyMoreWaits(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer v1." + string(ident.NewCustomer("use1")) + ".s.1.x"}}
	w := limited(t, header, func(r *Router) { r.waiting.Store(maxWaiting) })
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestCellsThatLeaveTheMapAreForgotten(t *testing.T) {
	maps := testTable(t).maps
	r := New(Deps{Region: "us-east-1", Maps: maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
	kept := r.nodes.of("use1-a")
	r.nodes.of("use1-z")
	next := *maps.Load()
	next.Version++
	maps.Offer(&next)
	r.MapChanged()
	if len(*r.nodes.byID.Load()) != 1 || r.nodes.of("use1-a") != kept {
		t.Errorf("got %v", *r.nodes.byID.Load())
	}
}
