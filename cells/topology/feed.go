package topology

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// Feed is what a process says about where its map comes from: its flags, and what it has at hand.
type Feed struct {
	// Map is the file of the last good map, Keys that of the public keys.
	Map, Keys string
	// ControlPlane has addresses, host:port separated by commas; empty for none. Client shows them the platform's key.
	ControlPlane string
	Client       connect.HTTPClient
	// Consul is the address of an agent, empty for none; ConsulKey and ConsulMode as in ConsulConfig.
	Consul, ConsulKey, ConsulMode string
	Holder                        *Holder
	Clock                         clock.Clock
	Log                           *slog.Logger
	Observe                       Observer
}

// firstMap bounds how long a process without a map waits for its first one, before it gives up and is started again.
const firstMap = 30 * time.Second

// Start a follower, and wait until it has a map that is wanted. Run it from then on.
func (f Feed) Start(ctx context.Context, wanted func(*Map) error) (*Follower, error) {
	var sources []Source
	if f.ControlPlane != "" {
		s, err := NewControlPlane(f.ControlPlane, f.Client, f.Clock)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	if f.Consul != "" {
		s, err := NewConsul(ConsulConfig{Address: f.Consul, Key: f.ConsulKey, Mode: ConsulMode(f.ConsulMode), Clock: f.Clock})
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	follower, err := NewFollower(FollowerDeps{
		Holder: f.Holder, Path: f.Map, KeyPath: f.Keys, Sources: sources, Clock: f.Clock, Log: f.Log, Observe: f.Observe,
	})
	if err != nil {
		return nil, err
	}
	return follower, follower.First(ctx, firstMap, wanted)
}
