package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/process"
)

// diary keeps what happened, in order, and where the listeners listen, as the log tells it.
type diary struct {
	mu        sync.Mutex
	events    []string
	addresses map[string]string
}

func (d *diary) note(event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, event)
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

func (d *diary) url(listener string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "http://" + d.addresses[listener] + "/"
}

// Write implements io.Writer for the log.
func (d *diary) Write(p []byte) (int, error) {
	var line struct{ Msg, Listener, Address string }
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if line.Msg == "listening" {
		d.addresses[line.Listener] = line.Address
	}
	return len(p), nil
}

func newDiary() *diary { return &diary{addresses: map[string]string{}} }

func (d *diary) group(h http.Handler, ready chan<- bool) process.Group {
	return process.Group{
		Log:       slog.New(slog.NewJSONHandler(d, nil)),
		Listeners: []process.Listener{{Name: "public", Address: "127.0.0.1:0", Handler: h}},
		SetReady:  func(is bool) { ready <- is },
	}
}

// get a page; its text, or "" with an error.
func get(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url) // the client has a time-out
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// fresh is a client that opens a connection for each request.
func fresh() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
}

func TestTheEndComesInOrder(t *testing.T) {
	d, ready := newDiary(), make(chan bool)
	begun, release := make(chan struct{}), make(chan struct{})
	g := d.group(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		d.note("request done")
		_, _ = io.WriteString(w, "served")
	}), ready)
	g.Workers = []process.Worker{{Name: "relay", Run: func(ctx context.Context) error {
		d.note("worker runs")
		<-ctx.Done()
		d.note("worker stops")
		return ctx.Err() // being told to stop is no failure
	}}}
	g.Finish = func() { d.note("finish") }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	if !<-ready {
		t.Error("it begins by not being ready")
	}
	answer := make(chan string, 1)
	go func() {
		body, err := get(fresh(), d.url("public"))
		answer <- body
		if err != nil {
			t.Error(err)
		}
	}()
	<-begun
	cancel()
	if <-ready {
		t.Error("it is ready at the end")
	}
	close(release)
	if body := <-answer; body != "served" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
	if got, want := d.all(), []string{"worker runs", "request done", "finish", "worker stops"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := get(fresh(), d.url("public")); err == nil {
		t.Error("it still listens")
	}
}

func TestWhileItDrainsNewRequestsAreStillServed(t *testing.T) {
	d, ready := newDiary(), make(chan bool)
	served := make(chan struct{})
	g := d.group(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(served)
		_, _ = io.WriteString(w, "served")
	}), ready)
	g.Drain = 2 * time.Second // longer than a request on loopback takes, on the busiest machine
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-ready
	cancel()
	<-ready // not any more: routers learn it now
	if body, err := get(fresh(), d.url("public")); body != "served" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	<-served
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAPartThatFailsEndsTheWholeAtOnce(t *testing.T) {
	d, ready := newDiary(), make(chan bool, 2)
	g := d.group(http.NotFoundHandler(), ready)
	g.Drain = time.Hour // nobody waits for it now
	broken := errors.New("the map is gone")
	g.Workers = []process.Worker{
		{Name: "steady", Run: func(ctx context.Context) error { <-ctx.Done(); d.note("steady stops"); return nil }},
		{Name: "follower", Run: func(context.Context) error { return broken }},
	}
	err := g.Run(t.Context())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "worker follower") {
		t.Errorf("got %v", err)
	}
	if got := d.all(); !slices.Equal(got, []string{"steady stops"}) {
		t.Errorf("got %q", got)
	}
	if is, was := <-ready, <-ready; !is || was {
		t.Errorf("ready %v, then %v", is, was)
	}
}

func TestAWorkerThatIsDoneEndsNothing(t *testing.T) {
	d, ready := newDiary(), make(chan bool, 2)
	g := d.group(http.NotFoundHandler(), ready)
	done := make(chan struct{})
	g.Workers = []process.Worker{{Name: "once", Run: func(context.Context) error { close(done); return nil }}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-ready
	<-done
	if _, err := get(fresh(), d.url("public")); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsSaidBeforeAnythingRuns(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") // nothing to wait for
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d, ready := newDiary(), make(chan bool, 2)
	g := d.group(http.NotFoundHandler(), ready)
	g.Listeners = append(g.Listeners, process.Listener{Name: "admin", Address: taken.Addr().String(), Handler: http.NotFoundHandler()})
	g.Workers = []process.Worker{{Name: "any", Run: func(context.Context) error { t.Error("a worker ran"); return nil }}}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listener admin") {
		t.Errorf("got %v", err)
	}
	if len(ready) != 0 {
		t.Error("it said something about being ready")
	}
	if _, err := get(fresh(), d.url("public")); err == nil {
		t.Error("the other listener still listens")
	}
}

func TestAServerSpeaksBothVersionsOfHTTPWithoutTLS(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // nothing to wait for
	if err != nil {
		t.Fatal(err)
	}
	s := process.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	second := new(http.Protocols)
	second.SetUnencryptedHTTP2(true)
	for want, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": {Protocols: second}} {
		if got, err := get(&http.Client{Transport: transport, Timeout: time.Minute}, "http://"+ln.Addr().String()); got != want || err != nil {
			t.Errorf("got %q, %v; want %s", got, err, want)
		}
		transport.CloseIdleConnections()
	}
	if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Error("a server must have limits")
	}
}
