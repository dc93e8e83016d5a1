package topology_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

const peerKey = "the platform's own key"

// plane is a control plane that sends what a test says; a nil snapshot is a heartbeat.
type plane struct {
	topologyv1connect.UnimplementedTopologyServiceHandler

	send    chan []byte // closed: the stream ends
	watched atomic.Int64
	address string
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{send: make(chan []byte)}
	_, handler := topologyv1connect.NewTopologyServiceHandler(p)
	s := httptest.NewServer(rpc.Internal(peerKey, handler))
	t.Cleanup(s.Close)
	p.address = strings.TrimPrefix(s.URL, "http://")
	return p
}

// WatchMap implements the service.
func (p *plane) WatchMap(ctx context.Context, _ *topologyv1.WatchMapRequest, stream *connect.ServerStream[topologyv1.WatchMapResponse]) error {
	p.watched.Add(1)
	for {
		select {
		case b, open := <-p.send:
			if !open {
				return nil
			}
			if err := stream.Send(&topologyv1.WatchMapResponse{SignedSnapshot: b}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newControlPlane(t *testing.T, c clock.Clock, addresses ...string) *topology.ControlPlane {
	t.Helper()
	s, err := topology.NewControlPlane(strings.Join(addresses, ", "), rpc.Peer(peerKey, nil), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// watch a source until it ends; what it offers comes through a channel.
func watch(t *testing.T, s topology.Source) (offered chan string, ended chan error) {
	offered, ended = make(chan string), make(chan error, 1)
	go func() {
		ended <- s.Watch(t.Context(), func(b []byte) error { offered <- string(b); return nil })
	}()
	return offered, ended
}

func TestTheControlPlanesMapsComeAsTheyAreSent(t *testing.T) {
	p := newPlane(t)
	offered, ended := watch(t, newControlPlane(t, clock.System{}, p.address))
	for _, want := range []string{"one", "", "two", "", "", "three"} {
		p.send <- []byte(want)
		if want != "" {
			if got := <-offered; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	close(p.send)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the stream ended") {
		t.Errorf("got %v", err)
	}
}

func TestAStreamThatFallsSilentIsGivenUp(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := newPlane(t)
	offered, ended := watch(t, newControlPlane(t, c, p.address))
	if err := c.AwaitSleepers(t.Context(), 1); err != nil { // it listens for silence before anything is said
		t.Fatal(err)
	}
	for range 5 { // as long as something comes, it may last
		p.send <- nil
		p.send <- []byte("map")
		<-offered
		if err := c.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		c.Advance(3 * topology.HeartbeatEvery)
		if err := c.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(3 * topology.HeartbeatEvery)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nothing was heard for too long") {
		t.Errorf("got %v", err)
	}
}

// A connection that is taken and never answered: the process behind it hangs, or its machine is gone.
func TestAControlPlaneThatNeverAnswersIsGivenUp(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := clock.NewManual(time.Unix(0, 0))
	_, ended := watch(t, newControlPlane(t, c, l.Addr().String()))
	if err := c.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(3 * topology.HeartbeatEvery)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nothing was heard for too long") {
		t.Errorf("got %v", err)
	}
}

func TestStandbysAreAskedInTurn(t *testing.T) {
	p, q := newPlane(t), newPlane(t)
	close(p.send)
	close(q.send)
	s := newControlPlane(t, clock.System{}, p.address, q.address)
	for range 4 {
		if err := s.Watch(t.Context(), func([]byte) error { return nil }); err == nil {
			t.Fatal("the stream did not end")
		}
	}
	if p.watched.Load() != 2 || q.watched.Load() != 2 {
		t.Errorf("asked %d and %d times", p.watched.Load(), q.watched.Load())
	}
}

func TestAControlPlaneThatIsGoneRefusesOrSaysTooMuchIsAnError(t *testing.T) {
	p := newPlane(t)
	strangers, err := topology.NewControlPlane(p.address, rpc.Peer("another key", nil), clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	nothing := func([]byte) error { t.Error("something was offered"); return nil }
	if err := strangers.Watch(t.Context(), nothing); connect.CodeOf(errors.Unwrap(err)) != connect.CodeUnauthenticated {
		t.Errorf("without the key: %v", err)
	}
	go func() { p.send <- make([]byte, topology.MaxSnapshot+8<<10) }()
	if err := newControlPlane(t, clock.System{}, p.address).Watch(t.Context(), nothing); connect.CodeOf(errors.Unwrap(err)) != connect.CodeResourceExhausted {
		t.Errorf("too much: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if err := newControlPlane(t, clock.System{}, strings.TrimPrefix(gone.URL, "http://")).Watch(t.Context(), nothing); connect.CodeOf(errors.Unwrap(err)) != connect.CodeUnavailable {
		t.Errorf("gone: %v", err)
	}
	for _, addresses := range []string{"", "x", "a:1,,b:2", strings.Repeat("a:1,", 16) + "a:1"} {
		if _, err := topology.NewControlPlane(addresses, rpc.Peer("", nil), clock.System{}); err == nil {
			t.Errorf("%q was taken", addresses)
		}
	}
}

// The whole way: the file serves while the control plane is dead, and what it sends later is followed.
func TestAProcessStartsWithoutAControlPlaneAndHearsOfItLater(t *testing.T) {
	p, live := newProcess(t), newPlane(t)
	if err := topology.WriteFile(p.path, p.version(1)); err != nil {
		t.Fatal(err)
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	taken := make(chan uint64, 10)
	p.holder.Subscribe(func(m *topology.Map) { taken <- m.Version })
	if err := p.follow(clock.System{}, newControlPlane(t, clock.System{}, strings.TrimPrefix(dead.URL, "http://"), live.address)); err != nil {
		t.Fatal(err)
	}
	if err := p.follower.First(t.Context(), time.Minute, func(*topology.Map) error { return nil }); err != nil || <-taken != 1 {
		t.Fatal(err)
	}
	p.run()
	live.send <- p.version(2)
	if got := <-taken; got != 2 {
		t.Errorf("took version %d", got)
	}
	p.await("taken control-plane 2")
}
