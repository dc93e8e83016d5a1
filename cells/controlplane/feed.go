package controlplane

import (
	"context"
	"sync"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// feed holds the newest map for all who watch. Whoever is slow finds only the newest when it looks again: what was between
// is of use to nobody.
type feed struct {
	mu      sync.Mutex
	held    *publication
	changed chan struct{} // closed and replaced with each newer map
	ended   chan struct{}
	once    sync.Once
	// places for those who watch.
	places chan struct{}
	// observe is told of each version that is held.
	observe func(version uint64)
}

// maxWatchers of one process: every router and cell of a large fleet, twice while they are replaced. Each costs a
// goroutine and a connection; whoever comes beyond it asks another instance, or again later, and has the map it has.
const maxWatchers = 2048

func newFeed(watchers int, observe func(uint64)) *feed {
	return &feed{changed: make(chan struct{}), ended: make(chan struct{}), places: make(chan struct{}, watchers), observe: observe}
}

// newest map; nil before the first.
func (f *feed) newest() *publication {
	held, _ := f.look()
	return held
}

// look at the newest map, and what is closed when there is a newer one.
func (f *feed) look() (*publication, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held, f.changed
}

// offer a map; one that is not newer changes nothing.
func (f *feed) offer(p *publication) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil && p.m.Version <= f.held.m.Version {
		return
	}
	f.held = p
	f.observe(p.m.Version)
	close(f.changed)
	f.changed = make(chan struct{})
}

// end all streams: the process stops, and those who watch are to find another.
func (f *feed) end() { f.once.Do(func() { close(f.ended) }) }

// watch sends the newest map, unless the watcher has seen it, and each that follows, until ctx ends. Between maps a message
// without a snapshot says that the stream lives. UNAVAILABLE (TOO_MANY_WATCHERS, STOPPING).
func (f *feed) watch(ctx context.Context, c clock.Clock, seen uint64, send func(*topologyv1.WatchMapResponse) error) error {
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		return problem.New(problem.Unavailable, "TOO_MANY_WATCHERS", "too many watch the map here: ask another control plane, or try again")
	}
	ctx, cancel := context.WithCancel(ctx)
	beats := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { beat(ctx, c, beats) })
	for {
		held, changed := f.look()
		if held != nil && held.m.Version > seen {
			seen = held.m.Version
			if err := send(&topologyv1.WatchMapResponse{SignedSnapshot: held.snapshot, Version: seen}); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-beats:
			if err := send(&topologyv1.WatchMapResponse{Version: seen}); err != nil {
				return err
			}
		case <-f.ended:
			return problem.New(problem.Unavailable, "STOPPING", "this control plane stops: ask another, or try again")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beat until ctx ends; a watcher that is busy misses some.
func beat(ctx context.Context, c clock.Clock, beats chan<- struct{}) {
	for c.Sleep(ctx, topology.HeartbeatEvery) == nil {
		select {
		case beats <- struct{}{}:
		case <-ctx.Done():
		}
	}
}
