package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
)

const (
	// HeartbeatEvery is how often the control plane sends something on a stream: a map, or a message without a snapshot.
	HeartbeatEvery = 2 * time.Second
	// silence after which a stream is taken for dead, at the latest after twice as long: its connection may have gone without
	// a word. Two heartbeats may be late.
	silence = 3 * HeartbeatEvery
	// maxAddresses of control planes: a leader and its standbys, with room to spare.
	maxAddresses = 16
	// messageExtra is what a message has beside its snapshot, in bytes, with room for fields to come.
	messageExtra = 4 << 10
)

// ControlPlane is the source that hears of a new map first: a stream from the leader or one of its standbys.
type ControlPlane struct {
	clients []topologyv1connect.TopologyServiceClient
	next    atomic.Int64
	clock   clock.Clock
}

var _ Source = (*ControlPlane)(nil)

// NewControlPlane of some addresses, host:port separated by commas, reached with a client that shows the platform's key.
func NewControlPlane(addresses string, client connect.HTTPClient, c clock.Clock) (*ControlPlane, error) {
	s := &ControlPlane{clock: c}
	for address := range strings.SplitSeq(addresses, ",") {
		if address = strings.TrimSpace(address); !isHostPort(address) {
			return nil, fmt.Errorf("topology: the control plane's address %q is no host:port", address)
		}
		s.clients = append(s.clients, topologyv1connect.NewTopologyServiceClient(client, "http://"+address,
			connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(MaxSnapshot+messageExtra)))
	}
	if len(s.clients) > maxAddresses {
		return nil, fmt.Errorf("topology: at most %d addresses of control planes", maxAddresses)
	}
	s.next.Store(rand.Int64N(int64(len(s.clients)))) // not everybody asks the same one
	return s, nil
}

// Name implements Source.
func (*ControlPlane) Name() string { return "control-plane" }

// Watch implements Source: one stream, from the next address in turn.
func (s *ControlPlane) Watch(ctx context.Context, offer func(snapshot []byte) error) error {
	client := s.clients[int(s.next.Add(1)%int64(len(s.clients)))]
	ctx, alive, stop := watched(ctx, s.clock, silence)
	defer stop()
	// Always from the beginning: that way two control planes that give one version to two maps are found out.
	stream, err := client.WatchMap(ctx, &topologyv1.WatchMapRequest{})
	if err != nil {
		return fmt.Errorf("topology: watch map: %w", whyEnded(ctx, err))
	}
	defer func() { _ = stream.Close() }() // its error is that of the stream
	for stream.Receive() {
		alive()
		if snapshot := stream.Msg().GetSignedSnapshot(); len(snapshot) > 0 {
			_ = offer(snapshot) // the follower has told about it
		}
	}
	err = stream.Err()
	if err == nil {
		err = errors.New("the stream ended")
	}
	return fmt.Errorf("topology: watch map: %w", whyEnded(ctx, err))
}

var errSilent = errors.New("nothing was heard for too long")

// whyEnded is the cause of a context's end, if it has ended.
func whyEnded(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watched is a context that ends with errSilent when alive has not been called for some time. Stop ends it too.
func watched(ctx context.Context, c clock.Clock, most time.Duration) (watched context.Context, alive, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var heard atomic.Int64
	go func() {
		for seen := int64(-1); heard.Load() != seen; {
			seen = heard.Load()
			if c.Sleep(ctx, most) != nil {
				return
			}
		}
		cancel(errSilent)
	}()
	return ctx, func() { heard.Add(1) }, func() { cancel(context.Canceled) }
}
