package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

// living control plane: it runs, on the machine's clock, until the test ends or stop.
func (w *world) living(name string, options ...func(*Deps)) (s *Service, stop func()) {
	w.t.Helper()
	s = w.plane(name, false, append([]func(*Deps){func(d *Deps) { d.Clock = clock.System{} }}, options...)...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return s, stop
}

// until a state, looking at it whenever the clock lets go.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for !holds() {
		if (clock.System{}).Sleep(ctx, 20*time.Millisecond) != nil {
			w.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// routersReport for a control plane, until the test ends: cells as the world's probes see them.
func (w *world) routersReport(planes ...*Service) {
	w.t.Helper()
	ctx := w.t.Context()
	go func() {
		for (clock.System{}).Sleep(ctx, 50*time.Millisecond) == nil {
			for _, s := range planes {
				held := s.feed.newest()
				if held == nil {
					continue
				}
				for _, region := range ident.Regions() {
					req := &topologyv1.ReportHealthRequest{Reporter: "router/" + string(region), Region: string(region), MapVersion: held.m.Version}
					for i := range held.m.Cells {
						c := &held.m.Cells[i]
						req.Cells = append(req.Cells, &topologyv1.CellReport{CellId: c.ID, Healthy: w.look(ctx, c) == ready})
					}
					_, _ = s.ReportHealth(ctx, req) // the control plane may have ended
				}
			}
		}
	}()
}

func slotsOf(s *Service, cell string) (n int) {
	if held := s.feed.newest(); held != nil {
		for _, slots := range held.m.SlotsOf(cell) {
			n += len(slots)
		}
	}
	return n
}

func TestACellIsEvacuatedAndBroughtBackByCommand(t *testing.T) {
	w := newWorld(t)
	s, _ := w.living("one")
	ctx := t.Context()
	w.until("it leads and sees every cell", func() bool {
		return s.leader.leads.Load() && s.feed.newest() != nil && s.board.healthy("use1-b") && s.board.healthy("use1-a")
	})
	plan := of(s.PlanEvacuation(ctx, &topologyv1.PlanEvacuationRequest{CellId: "use1-a"})).must(t).GetPlan()
	if plan.GetSlots() != ident.Slots/2 || plan.GetRefusal() != "" {
		t.Fatalf("got %v", plan)
	}
	_, err := s.StartEvacuation(ctx, &topologyv1.StartEvacuationRequest{CellId: "use1-a", PlanHash: "another", ExpiresIn: durationpb.New(time.Hour), Cause: because("x")})
	expectReason(t, err, "PLAN_CHANGED")
	e := of(s.StartEvacuation(ctx, &topologyv1.StartEvacuationRequest{CellId: "use1-a", PlanHash: plan.GetHash(), ExpiresIn: durationpb.New(time.Hour), Cause: because("it smokes")})).must(t).GetEvacuation()
	w.until("it is done", func() bool {
		return of(s.GetEvacuation(ctx, &topologyv1.GetEvacuationRequest{EvacuationId: e.GetEvacuationId()})).must(t).GetEvacuation().GetState() == topologyv1.EvacuationState_EVACUATION_STATE_DONE
	})
	if slotsOf(s, "use1-a") != 0 || slotsOf(s, "use1-b") != ident.Slots || s.feed.newest().m.Cell("use1-a").Serves() {
		t.Errorf("%d and %d slots", slotsOf(s, "use1-a"), slotsOf(s, "use1-b"))
	}
	of(s.UndoEvacuation(ctx, &topologyv1.UndoEvacuationRequest{EvacuationId: e.GetEvacuationId(), Cause: because("it was steam")})).must(t)
	w.until("it has its slots again", func() bool { return slotsOf(s, "use1-a") == ident.Slots/2 })
	w.until("the audit trail has all of it", func() bool {
		var all []string
		for _, c := range w.changes(s) {
			all = append(all, c.action)
		}
		trail := strings.Join(all, "; ")
		return strings.Contains(trail, "undo done; undo of "+e.GetEvacuationId()+" started; evacuation done; evacuation started")
	})
	_, err = s.GetEvacuation(ctx, &topologyv1.GetEvacuationRequest{EvacuationId: "ev-nothing"})
	expectReason(t, err, "UNKNOWN_MOVE")
}

func TestTheMapIsRevertedAndARingRebalanced(t *testing.T) {
	w := newWorld(t)
	s, _ := w.living("one")
	ctx := t.Context()
	w.until("it leads and sees every cell", func() bool { return s.leader.leads.Load() && s.board.healthy("use1-a") && s.board.healthy("use1-b") })
	of(s.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 300, Cause: because("x")})).must(t)
	plan := of(s.PlanRebalance(ctx, &topologyv1.PlanRebalanceRequest{Region: string(east)})).must(t).GetPlan()
	of(s.StartRebalance(ctx, &topologyv1.StartRebalanceRequest{Region: string(east), PlanHash: plan.GetHash(), Cause: because("x")})).must(t)
	w.until("the ring is rebalanced", func() bool { return slotsOf(s, "use1-a") == 3*ident.Slots/4 })
	w.until("the move has ended", func() bool {
		all := of(s.ListEvacuations(ctx, &topologyv1.ListEvacuationsRequest{})).must(t).GetEvacuations()
		return len(all) == 1 && all[0].GetEndedAt() != nil
	})
	of(s.RevertMap(ctx, &topologyv1.RevertMapRequest{Version: 1, Cause: because("x")})).must(t)
	w.until("all is as in version 1", func() bool { return slotsOf(s, "use1-a") == ident.Slots/2 })
}

// The scenario for which automation is there, with everything but the cells real.
func TestADeadCellsSlotsAreServedByAnotherWithoutAnybodysHand(t *testing.T) {
	w := newWorld(t)
	s, _ := w.living("one")
	w.routersReport(s)
	w.until("all is well", func() bool {
		return s.leader.leads.Load() && s.board.healthy("use1-a") && s.board.healthy("use1-b") && len(s.board.routers()) == 3
	})
	w.see("use1-a", refused)
	w.until("nobody waits for it", func() bool { return slotsOf(s, "use1-a") == 0 && slotsOf(s, "use1-b") == ident.Slots })
	w.see("use1-a", ready)
	w.until("it has the state of an evacuated cell, and stays so", func() bool {
		all := of(s.ListEvacuations(t.Context(), &topologyv1.ListEvacuationsRequest{})).must(t).GetEvacuations()
		return len(all) == 1 && all[0].GetAutomatic() && all[0].GetEndedAt() != nil && slotsOf(s, "use1-a") == 0 && !s.feed.newest().m.Cell("use1-a").Serves()
	})
}

func TestAnotherTakesOverAndGoesOnWithWhatWasUnderWay(t *testing.T) {
	w := newWorld(t)
	short := func(d *Deps) { d.LeaseTTL = time.Second }
	first, stop := w.living("one", short)
	w.until("the first leads", func() bool {
		return first.leader.leads.Load() && first.feed.newest() != nil && first.board.healthy("use1-b")
	})
	second, _ := w.living("two", short)
	w.until("the second follows", func() bool { return second.feed.newest() != nil && second.board.healthy("use1-b") })
	plan := of(second.PlanEvacuation(t.Context(), &topologyv1.PlanEvacuationRequest{CellId: "use1-a"})).must(t).GetPlan()
	order := &topologyv1.StartEvacuationRequest{CellId: "use1-a", PlanHash: plan.GetHash(), ExpiresIn: durationpb.New(time.Hour), Cause: because("x")}
	_, err := second.StartEvacuation(t.Context(), order)
	expectReason(t, err, "NOT_LEADER")
	// A leader that dies between the command and the work: the row is there, and nobody drives it.
	stop()
	first.leader.leads.Store(true)
	of(first.StartEvacuation(t.Context(), order)).must(t)
	w.until("the second has done it", func() bool { return second.leader.leads.Load() && slotsOf(second, "use1-a") == 0 })
}

func TestTheServiceIsForPeersAndPagesForThisMachine(t *testing.T) {
	w := newWorld(t)
	s, _ := w.living("one")
	w.until("it leads and sees every cell", func() bool { return s.leader.leads.Load() && s.board.healthy("use1-b") })
	plan := of(s.PlanEvacuation(t.Context(), &topologyv1.PlanEvacuationRequest{CellId: "use1-a"})).must(t).GetPlan()
	e := of(s.StartEvacuation(t.Context(), &topologyv1.StartEvacuationRequest{CellId: "use1-a", PlanHash: plan.GetHash(), ExpiresIn: durationpb.New(time.Hour), Cause: because("<b>bold</b>")})).must(t).GetEvacuation()
	const key = "a key that the platform's processes share"
	server := httptest.NewServer(handler(s, key, s.deps.Log, noCalls{}))
	defer server.Close()
	_, err := topologyv1connect.NewTopologyServiceClient(http.DefaultClient, server.URL).GetMap(t.Context(), &topologyv1.GetMapRequest{})
	if problem.KindOf(err) != problem.Unauthenticated {
		t.Errorf("without the key: %v", err)
	}
	peer := topologyv1connect.NewTopologyServiceClient(rpc.Peer(key, nil), server.URL, rpc.ClientOptions()...)
	of(peer.GetMap(t.Context(), &topologyv1.GetMapRequest{})).must(t)
	stream := of(peer.WatchMap(t.Context(), &topologyv1.WatchMapRequest{})).must(t)
	if !stream.Receive() || len(stream.Msg().GetSignedSnapshot()) == 0 {
		t.Errorf("the stream: %v", stream.Err())
	}
	s.feed.end()
	for stream.Receive() {
	}
	if !problem.Is(stream.Err(), "STOPPING") {
		t.Errorf("at the end: %v", stream.Err())
	}
	page := "/evacuations/" + e.GetEvacuationId()
	for _, c := range []struct {
		path, host string
		status     int
		kind, has  string
	}{
		{page, "", http.StatusOK, "text/html", "&lt;b&gt;bold"},
		{page + ".json", "localhost:8090", http.StatusOK, "application/json", e.GetEvacuationId()},
		{page, "elsewhere.example", http.StatusForbidden, "text/plain", "own machine"},
		{"/evacuations/ev-none", "", http.StatusNotFound, "text/plain", "no such"},
	} {
		status, kind, body := get(t, server.URL+c.path, c.host)
		if status != c.status || !strings.HasPrefix(kind, c.kind) || !strings.Contains(body, c.has) {
			t.Errorf("%s of %q: %d, %s, %.200s", c.path, c.host, status, kind, body)
		}
		if c.kind == "application/json" && protojson.Unmarshal([]byte(body), &topologyv1.Evacuation{}) != nil {
			t.Errorf("no move in JSON: %.200s", body)
		}
	}
	w2 := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	req.RemoteAddr, req.Host = "192.0.2.7:1234", "127.0.0.1:8090"
	handler(s, key, s.deps.Log, noCalls{}).ServeHTTP(w2, req)
	if w2.Code != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", w2.Code)
	}
}

type noCalls struct{}

func (noCalls) CallEnded(string, string, time.Duration) {}

func get(t *testing.T, url, host string) (status int, kind, body string) {
	t.Helper()
	req := of(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)).must(t)
	if host != "" {
		req.Host = host
	}
	resp := of(http.DefaultClient.Do(req)).must(t)
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(of(io.ReadAll(resp.Body)).must(t))
}

func TestProbesTellWhatACellSaysFromItsSilence(t *testing.T) {
	w := newWorld(t)
	look := newProber()
	for want, answer := range map[sight]func(http.ResponseWriter){
		ready:    func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, "ok\n") },
		starting: func(rw http.ResponseWriter) { http.Error(rw, "not ready", http.StatusServiceUnavailable) },
		draining: func(rw http.ResponseWriter) { http.Error(rw, "draining", http.StatusServiceUnavailable) },
		silent:   func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			answer(rw)
		}))
		cell := fleet()[0]
		cell.Admin = strings.TrimPrefix(server.URL, "http://")
		if got := look(t.Context(), &cell); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
		server.Close()
		if got := look(t.Context(), &cell); got != refused {
			t.Errorf("nobody listens, and it is %d", got)
		}
	}
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-hangs }))
	defer server.Close()
	defer close(hangs)
	cell := fleet()[0]
	cell.Admin = strings.TrimPrefix(server.URL, "http://")
	if got := look(w.t.Context(), &cell); got != silent {
		t.Errorf("one that hangs is %d", got)
	}
}

func TestErrorsOfTheInterfaceHaveTheirCodes(t *testing.T) {
	for code, err := range map[connect.Code]error{
		connect.CodeAborted:  mapChanged(1, 2),
		connect.CodeNotFound: errors.Join(unknownCell("x")),
	} {
		if got := problem.ToConnect(err).Code(); got != code {
			t.Errorf("%v is %s, not %s", err, got, code)
		}
	}
	if text := fmt.Sprint(unknownVersion(7)); !strings.Contains(text, "7") {
		t.Errorf("got %s", text)
	}
}
