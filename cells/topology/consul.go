package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// ConsulMode says whose word a read of Consul's takes.
type ConsulMode string

// The modes. A map is signed and never goes back, so a late answer does no harm; none does.
const (
	// ConsulStale takes any server's word: there are answers while Consul has no leader.
	ConsulStale ConsulMode = "stale"
	// ConsulDefault takes the leader's word, which may have lost its office a moment ago.
	ConsulDefault ConsulMode = "default"
	// ConsulConsistent has the leader ask the others first whether it still is the leader.
	ConsulConsistent ConsulMode = "consistent"
)

const (
	// consulWait is how long an agent may hold a question when nothing changes. It adds up to a sixteenth by chance.
	consulWait = 30 * time.Second
	// consulSilence after which a question is given up: the agent, or the way to it, is dead.
	consulSilence = consulWait + consulWait/16 + 5*time.Second
	// consulEvery is the least time between two questions. A key that is written without end must not cost more than this.
	consulEvery = 100 * time.Millisecond
	// putTries of a compare-and-set, each of which somebody else's came before.
	putTries = 5
	// putTimeout bounds each request of a put.
	putTimeout = 5 * time.Second
)

// ConsulConfig of a Consul. An access token, a CA and the like come from Consul's own environment variables
// (CONSUL_HTTP_TOKEN_FILE, CONSUL_CACERT, …).
type ConsulConfig struct {
	// Address of an agent, host:port or with a scheme.
	Address string
	// Key that holds the map, for example "cellar/map".
	Key string
	// Mode of reads; empty is ConsulStale.
	Mode  ConsulMode
	Clock clock.Clock
}

// Consul is a source that has the map as the value of one key. No sessions or locks: who may write is the control plane's
// own affair, and versions and signatures decide for readers.
type Consul struct {
	cfg ConsulConfig
	kv  *api.KV
}

var _ Source = (*Consul)(nil)

// NewConsul connects to nothing yet.
func NewConsul(cfg ConsulConfig) (*Consul, error) {
	if cfg.Mode == "" {
		cfg.Mode = ConsulStale
	}
	if cfg.Key == "" || (cfg.Mode != ConsulStale && cfg.Mode != ConsulDefault && cfg.Mode != ConsulConsistent) {
		return nil, fmt.Errorf("topology: consul: there is no key, or no mode %q", cfg.Mode)
	}
	client, err := api.NewClient(&api.Config{Address: cfg.Address})
	if err != nil {
		return nil, fmt.Errorf("topology: consul: %w", err)
	}
	return &Consul{cfg: cfg, kv: client.KV()}, nil
}

// Name implements Source.
func (*Consul) Name() string { return "consul" }

// Watch implements Source with blocking queries: each names the index that the last one gave, and is answered when the key
// has changed since, or after a while.
func (s *Consul) Watch(ctx context.Context, offer func(snapshot []byte) error) error {
	ctx, alive, stop := watched(ctx, s.cfg.Clock, consulSilence)
	defer stop()
	var index, modified uint64
	for {
		asked := s.cfg.Clock.Now()
		pair, meta, err := s.kv.Get(s.cfg.Key, s.query(ctx, s.cfg.Mode, index))
		if err != nil {
			return fmt.Errorf("topology: consul: read %s: %w", s.cfg.Key, whyEnded(ctx, err))
		}
		alive()
		if pair != nil && (pair.ModifyIndex != modified || meta.LastIndex < index) {
			modified = pair.ModifyIndex
			_ = offer(pair.Value) // the follower has told about it
		}
		index = nextIndex(index, meta.LastIndex)
		if err := s.cfg.Clock.Sleep(ctx, max(0, consulEvery-s.cfg.Clock.Now().Sub(asked))); err != nil {
			return whyEnded(ctx, err)
		}
	}
}

// nextIndex to ask from. One that went back is another raft log's, after a restore: it begins anew. Nought would not block.
func nextIndex(asked, answered uint64) uint64 {
	if answered < asked {
		return 0
	}
	return max(answered, 1)
}

func (s *Consul) query(ctx context.Context, mode ConsulMode, index uint64) *api.QueryOptions {
	q := &api.QueryOptions{WaitIndex: index, WaitTime: consulWait, AllowStale: mode == ConsulStale, RequireConsistent: mode == ConsulConsistent}
	return q.WithContext(ctx)
}

// ErrNewer: Consul has a newer map already.
var ErrNewer = errors.New("topology: consul has a newer map")

// Put publishes a snapshot that one of the keys signed, unless Consul has it already. What is no map at all is replaced; an
// older map is, by compare-and-set, so that nothing newer is lost however many publish. ErrNewer, ErrSplit, and what Open
// says of the snapshot.
func (s *Consul) Put(ctx context.Context, snapshot []byte, keys Keys) error {
	m, err := Open(snapshot, keys)
	if err != nil {
		return err
	}
	for range putTries {
		done, err := s.putOnce(ctx, m, snapshot, keys)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("topology: consul: others wrote %s %d times meanwhile", s.cfg.Key, putTries)
}

func (s *Consul) putOnce(ctx context.Context, m *Map, snapshot []byte, keys Keys) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	pair, _, err := s.kv.Get(s.cfg.Key, s.query(ctx, ConsulConsistent, 0))
	if err != nil {
		return false, fmt.Errorf("topology: consul: read %s: %w", s.cfg.Key, err)
	}
	if pair == nil {
		pair = &api.KVPair{Key: s.cfg.Key} // index 0: only if nobody makes it meanwhile
	} else if old, err := Open(pair.Value, keys); err == nil {
		switch {
		case bytes.Equal(pair.Value, snapshot):
			return true, nil
		case old.Version > m.Version:
			return false, fmt.Errorf("%w: version %d, not %d", ErrNewer, old.Version, m.Version)
		case old.Version == m.Version && !bytes.Equal(old.encode(), m.encode()):
			return false, fmt.Errorf("%w: version %d", ErrSplit, m.Version)
		}
	}
	pair.Value = snapshot
	done, _, err = s.kv.CAS(pair, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("topology: consul: write %s: %w", s.cfg.Key, err)
	}
	return done, nil
}
