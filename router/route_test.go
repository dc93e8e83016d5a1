package router_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"github.com/cellar-commerce/cellar/router"
)

func TestACustomerGoesToTheOwnerWhereverItIs(t *testing.T) {
	w := newWorld(t).run(t)
	for _, c := range w.cells {
		token := strings.TrimPrefix(bearer(w.customer(c)).Get("Authorization"), "Bearer ")
		for name, header := range map[string]http.Header{
			"header":               {"Authorization": {"Bearer " + token}},
			"cookie":               {"Cookie": {"theme=dark; cellar_session=" + token + "; x=y"}},
			"second of two lines":  {"Cookie": {"a=b", "cellar_session=" + token}},
			"quoted":               {"Cookie": {`cellar_session="` + token + `"`}},
			"behind another's":     {"Cookie": {"cellar_session=none; cellar_session=" + token}},
			"beside another login": {"Authorization": {"Basic eDp5"}, "Cookie": {"cellar_session=" + token}},
		} {
			if a := w.post(t, "{}", header); a.body != c.id {
				t.Errorf("%s: %s answers for %s: %+v", name, a.body, c.id, a)
			}
		}
	}
}

func TestWhoHasNoSessionStaysInTheRegion(t *testing.T) {
	w := newWorld(t).run(t)
	served := map[string]int{}
	for range 60 {
		served[w.post(t, "{}", http.Header{"Authorization": {"Bearer nonsense"}}).body]++
	}
	if len(served) != 2 || served["use1-a"] == 0 || served["use1-b"] == 0 {
		t.Errorf("served by %v", served)
	}
	w.a.ready.Store(false)
	w.b.ready.Store(false)
	w.round(t)
	if a := w.post(t, "{}", nil); a.body != "usw2-a" && a.body != "euc1-a" {
		t.Errorf("with nobody at home it goes to %+v", a)
	}
	for _, c := range w.cells {
		c.ready.Store(false)
	}
	w.round(t)
	if a := w.post(t, "{}", nil); a.status != http.StatusServiceUnavailable || reason(t, a) != "NO_CELL" {
		t.Errorf("with nobody at all: %+v", a)
	}
}

func TestWhoHasNoSessionDoesNotGoToCellsThatDrain(t *testing.T) {
	w := newWorld(t).run(t)
	w.change(t, func(m *topology.Map) { m.Cells[0].State = topology.Draining })
	for range 20 {
		if a := w.post(t, "{}", nil); a.body != "use1-b" {
			t.Fatalf("went to %s", a.body)
		}
	}
	if a := w.post(t, "{}", bearer(w.customer(w.a))); a.body != "use1-a" {
		t.Errorf("its own customers go to %s", a.body)
	}
}

func TestTheLessBusyOfTwoIsTaken(t *testing.T) {
	w := newWorld(t).run(t)
	release, begun := make(chan struct{}), make(chan struct{})
	slow := func(rw http.ResponseWriter, _ *http.Request) {
		rw.(http.Flusher).Flush() // what counts is when the answer ends, not when it begins
		close(begun)
		<-release
	}
	w.a.on(slow)
	held := w.start(t, "{}", bearer(w.customer(w.a)))
	<-begun
	for range 20 {
		if a := w.post(t, "{}", nil); a.body != "use1-b" {
			t.Errorf("went to the busy one: %+v", a)
		}
	}
	close(release)
	<-held
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "use1-a") })
	eventually(t, "the other is taken again", func() bool { return w.post(t, "{}", nil).body == "use1-a" })
}

func TestACellThatMayNotBeAskedIsNot(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.change(t, func(m *topology.Map) { m.Cells[0].State = topology.Quarantined })
	answers := w.start(t, "{}", bearer(id))
	w.asleep(t, 2)
	w.give(t, id, w.b, 2)
	if a := w.pass(answers); a.body != "use1-b" {
		t.Errorf("got %+v", a)
	}
	if n := len(w.a.requests()); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestARouterIsReadyWhenACellOfItsRegionIs(t *testing.T) {
	w := newWorld(t)
	expect := func(want int) {
		t.Helper()
		if a := w.send(t, http.MethodGet, "/readyz", nil, nil); a.status != want {
			t.Errorf("readyz: %d, want %d", a.status, want)
		}
		if a := w.send(t, http.MethodGet, "/livez", nil, nil); a.status != http.StatusOK { // in any case
			t.Errorf("livez: %d", a.status)
		}
	}
	expect(http.StatusServiceUnavailable) // nobody has been asked yet
	w.run(t)
	expect(http.StatusOK)
	w.a.ready.Store(false)
	w.round(t)
	expect(http.StatusOK)
	w.b.ready.Store(false)
	w.round(t) // the word of a cell about itself is believed at once
	expect(http.StatusServiceUnavailable)
	w.b.ready.Store(true)
	w.round(t)
	expect(http.StatusOK)
	w.b.admin.Close()
	w.round(t) // one lost check is no outage
	expect(http.StatusOK)
	w.round(t)
	expect(http.StatusServiceUnavailable)
	if got := len(w.a.requests()); got != 0 {
		t.Errorf("its own pages were asked of a cell %d times", got)
	}
}

func TestWhileItDrainsItSaysSoAndServes(t *testing.T) {
	w := newWorld(t).run(t)
	begun, release := make(chan struct{}), make(chan struct{})
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(rw, "finished")
	})
	under := w.start(t, "{}", bearer(w.customer(w.a)))
	<-begun
	w.router.SetDraining(true)
	if a := w.send(t, http.MethodGet, "/readyz", nil, nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", a.status)
	}
	if a := w.post(t, "{}", bearer(w.customer(w.b))); a.body != "use1-b" {
		t.Errorf("a new request: %+v", a)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.front.Shutdown(t.Context()) }()
	eventually(t, "it takes nobody new", func() bool {
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := fresh.Get(w.front.URL + "/livez")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	close(release)
	if a := <-under; a.body != "finished" {
		t.Errorf("the request under way got %+v", a)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWhatHappensIsObserved(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.post(t, "{}", bearer(id))
	w.a.redirects(hint(id, "use1-b", 2))
	w.post(t, "{}", bearer(id))
	w.post(t, strings.Repeat("x", 1<<20+1), bearer(id))
	var results []string
	eventually(t, "three requests have ended", func() bool { results, _ = w.observed(); return len(results) == 3 })
	if want := []string{"use1-a answered", "use1-b redirected", " BODY_TOO_LARGE"}; !slices.Equal(results, want) {
		t.Errorf("got %q, want %q", results, want)
	}
}

var _ router.Observer = (*telemetry.RouterMetrics)(nil)

func TestTheTelemetryShowsIt(t *testing.T) {
	m := telemetry.NewMetrics(map[string]string{"region": string(home)})
	o := telemetry.NewRouterMetrics(m)
	o.RequestEnded("use1-a", router.Answered, 3*time.Millisecond)
	o.RequestEnded("", "NO_CELL", time.Millisecond)
	o.CellChanged("use1-a", "open")
	w := httptest.NewRecorder()
	telemetry.Admin(m, &telemetry.Readiness{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`router_requests_seconds_bucket{cell="use1-a",region="us-east-1",result="answered",le="0.005"} 1`,
		`router_requests_seconds_count{cell="",region="us-east-1",result="NO_CELL"} 1`,
		`router_breaker_changes_total{cell="use1-a",region="us-east-1",state="open"} 1`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
}
