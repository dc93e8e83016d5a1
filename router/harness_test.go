package router_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/router"
)

const (
	home  = ident.Region("us-east-1") // of the router
	path  = "/test.v1.EchoService/Say"
	look  = "/test.v1.EchoService/Look"  // has no side effects
	put   = "/test.v1.EchoService/Put"   // does the same again
	order = "/test.v1.EchoService/Order" // does it once a key
	form  = "/place"                     // likewise, with the key in its address
)

// cell is a real HTTP server that does what a test says; by default it answers with its name.
type cell struct {
	id     string
	public *httptest.Server
	admin  *httptest.Server
	ready  atomic.Bool
	handle atomic.Pointer[http.HandlerFunc]

	mu   sync.Mutex
	seen []*http.Request // with bodies that can be read
}

func newCell(t *testing.T, id string) *cell {
	t.Helper()
	c := &cell{id: id}
	c.ready.Store(true)
	c.on(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, id) })
	c.public = c.listen(t, "127.0.0.1:0")
	c.admin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !c.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(c.admin.Close)
	return c
}

// listen as cells do, with both versions of HTTP.
func (c *cell) listen(t *testing.T, address string) *httptest.Server {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: process.NewServer(c)}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (c *cell) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a short one shows in the test
	kept := r.Clone(context.Background())
	kept.Body, r.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	c.seen = append(c.seen, kept)
	c.mu.Unlock()
	(*c.handle.Load())(w, r)
}

func (c *cell) on(h http.HandlerFunc) { c.handle.Store(&h) }

// redirects every request for a customer to another cell.
func (c *cell) redirects(header string) {
	c.on(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cellar-Wrong-Cell", header)
		w.WriteHeader(http.StatusBadRequest)
	})
}

func (c *cell) requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

func (c *cell) last(t *testing.T) *http.Request {
	t.Helper()
	all := c.requests()
	if len(all) == 0 {
		t.Fatalf("%s was not asked", c.id)
	}
	return all[len(all)-1]
}

// world of a router: cells in three regions, a map, a clock that stands still, and a client.
type world struct {
	a, b, west, east *cell // use1-a, use1-b, usw2-a, euc1-a
	cells            []*cell
	maps             *topology.Holder
	clock            *clock.Manual
	router           *router.Router
	front            *front
	client           *http.Client
	logs             *safeBuffer

	mu      sync.Mutex
	results []string // "<cell> <result>"
	changes []string // "<cell> <state>"
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.NewManual(time.Unix(1_000_000, 0)), maps: &topology.Holder{}, logs: &safeBuffer{}}
	w.a, w.b, w.west, w.east = newCell(t, "use1-a"), newCell(t, "use1-b"), newCell(t, "usw2-a"), newCell(t, "euc1-a")
	w.cells = []*cell{w.a, w.b, w.west, w.east}
	var all []topology.Cell
	for i, c := range w.cells {
		all = append(all, topology.Cell{ID: c.id, Region: []ident.Region{home, home, "us-west-2", "eu-central-1"}[i], State: topology.Active, Weight: 100,
			Public: c.public.Listener.Addr().String(), Internal: "127.0.0.1:1", Admin: c.admin.Listener.Addr().String()})
	}
	m, err := topology.Even(all)
	if err != nil {
		t.Fatal(err)
	}
	w.maps.Offer(m)
	w.router = router.New(router.Deps{Region: home, Maps: w.maps, Clock: w.clock, Log: slog.New(slog.NewTextHandler(w.logs, nil)), Observe: w,
		Methods: map[string]router.Repeat{look: router.Freely, put: router.InTurn, order: router.WithKey, form: router.WithKeyInQuery}})
	w.front = newFront(t, w.router)
	// Shorter than the router's own deadline: who waits on a clock that nobody moves is found out.
	w.client = &http.Client{Transport: &http.Transport{}, Timeout: 8 * time.Second}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

// front of a router: a real listener, as in a process.
type front struct {
	*http1.Server
	URL      string
	Listener net.Listener
}

func newFront(t *testing.T, r *router.Router) *front {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{router.NewServer(r), "http://" + ln.Addr().String(), ln}
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ln) }()
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		// Nobody is left behind.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}

// run the health checks; the first round is through when it returns.
func (w *world) run(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.router.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	w.asleep(t, 1)
	return w
}

// asleep waits until so many sleep on the clock: the health checks, and requests that wait.
func (w *world) asleep(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.clock.AwaitSleepers(ctx, n); err != nil {
		t.Fatal(err)
	}
}

// round of health checks.
func (w *world) round(t *testing.T) {
	t.Helper()
	w.clock.Advance(500 * time.Millisecond)
	w.asleep(t, 1)
}

// change the map.
func (w *world) change(t *testing.T, change func(*topology.Map)) {
	t.Helper()
	m := *w.maps.Load()
	m.Version++
	m.Cells, m.Rings = slices.Clone(m.Cells), slices.Clone(m.Rings)
	change(&m)
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	w.maps.Offer(&m)
	w.router.MapChanged()
}

// give a customer's slot to a cell at an epoch.
func (w *world) give(t *testing.T, id ident.CustomerID, to *cell, epoch uint64) {
	t.Helper()
	w.change(t, func(m *topology.Map) {
		for i := range m.Rings {
			if m.Rings[i].Region == id.Region() {
				m.Rings[i].Slots[id.Slot()] = topology.SlotOwner{Cell: uint16(slices.Index(w.cells, to)), Epoch: epoch}
			}
		}
	})
}

// customer of a cell, as the map has it.
func (w *world) customer(c *cell) ident.CustomerID {
	for {
		for _, region := range ident.Regions() {
			code, _ := region.Code()
			if id := ident.NewCustomer(code); owner(w.maps, id) == c.id {
				return id
			}
		}
	}
}

func owner(maps *topology.Holder, id ident.CustomerID) string {
	cell, _, _ := maps.Owner(id)
	return cell
}

// RequestEnded implements router.Observer.
func (w *world) RequestEnded(cell, result string, _ time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, cell+" "+result)
}

// CellChanged implements router.Observer.
func (w *world) CellChanged(cell, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, cell+" "+state)
}

func (w *world) observed() (results, changes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.results), slices.Clone(w.changes)
}

// answer of a plain HTTP call, read whole.
type answer struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	err     error
}

// post JSON the way a browser's script does.
func (w *world) post(t *testing.T, body string, header http.Header) answer {
	t.Helper()
	return w.send(t, http.MethodPost, path, strings.NewReader(body), header)
}

func (w *world) send(t *testing.T, method, path string, body io.Reader, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.front.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text), trailer: resp.Trailer, err: err}
}

// start a request that may have to wait.
func (w *world) start(t *testing.T, body string, header http.Header) <-chan answer {
	t.Helper()
	out := make(chan answer, 1)
	go func() { out <- w.post(t, body, header) }()
	return out
}

// pass time, in small steps, until an answer is there.
func (w *world) pass(answers <-chan answer) answer {
	for {
		select {
		case a := <-answers:
			return a
		default:
			w.clock.Advance(time.Millisecond)
		}
	}
}

// bearer of a session; the router does not verify it.
func bearer(id ident.CustomerID) http.Header {
	return http.Header{"Authorization": {"Bearer v1." + string(id) + ".session.1.signature"}}
}

func with(h http.Header, name, value string) http.Header {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	return h
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually busies itself with try until it holds.
func eventually(t *testing.T, what string, try func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !try() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}
