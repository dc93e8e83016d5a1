package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Cause is by whom and why a change is wanted.
type Cause struct {
	Who, Reason string
	// Seen is the version of the map that the caller has seen; 0 for any.
	Seen uint64
}

// edit of the map.
type edit struct {
	cause Cause
	// action and subject for the audit trail; an edit without an action leaves no row there.
	action, subject string
	// apply changes the fleet in the transaction of the new map, and the draft alike, or refuses. It may run several times,
	// each time on a fresh draft. Nil where nothing but slots has changed.
	apply func(ctx context.Context, tx sqldb.Tx, d *draft) error
}

// publication is a map that is in force.
type publication struct {
	m        *topology.Map
	snapshot []byte
	made     made
}

// publisher makes maps from what the database says.
type publisher struct {
	store     store
	customers *sqldb.DB
	key       topology.SigningKey
	// keys that maps of the history may be signed with.
	keys  topology.Keys
	clock clock.Clock
	log   *slog.Logger
	feed  *feed
	// floor is a version that some process may have a map of, though the history has none: after the database was made anew.
	floor uint64

	mu sync.Mutex // one at a time in this process; the maps' key decides between processes
}

// maxPublishTries of an edit that anybody's version will do for: each loses only to a map that somebody else has published.
const maxPublishTries = 8

// errConflict: somebody else has published the version meanwhile.
var errConflict = errors.New("controlplane: another map was published meanwhile")

// mapChanged refuses an edit that was meant for another version.
func mapChanged(seen, newest uint64) error {
	return problem.New(problem.Aborted, "MAP_CHANGED", fmt.Sprintf("the map has gone on from version %d to %d: look at it again", seen, newest))
}

// publish the next map, with an edit. Without anything to change, the newest map is the answer. MAP_CHANGED when the edit is for a
// version that is not the newest, and whatever the edit refuses with.
func (p *publisher) publish(ctx context.Context, e edit) (*publication, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range maxPublishTries {
		next, err := p.try(ctx, e)
		if errors.Is(err, errConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.feed.offer(next)
		return next, nil
	}
	return nil, problem.New(problem.Aborted, "MAP_CHANGED", "others keep publishing maps: look at the newest one and try again")
}

// try once: read the newest map, then the slots, so that these are not older; then commit, if the version is still free.
func (p *publisher) try(ctx context.Context, e edit) (*publication, error) {
	prev, err := p.newest(ctx)
	if err != nil {
		return nil, err
	}
	d := draft{floor: p.floor}
	if prev != nil {
		d.prev = prev.m
	}
	if e.cause.Seen != 0 && (prev == nil || prev.m.Version != e.cause.Seen) {
		return nil, mapChanged(e.cause.Seen, d.stored())
	}
	if d.slots, err = readHoldings(ctx, p.customers); err != nil {
		return nil, err
	}
	at := p.clock.Now()
	var next *publication
	err = p.store.db.InTx(ctx, func(tx sqldb.Tx) (err error) {
		next, err = p.commit(ctx, tx, e, d, prev, at)
		return err
	})
	return next, err
}

// commit an edit and the map that it makes; the draft is this call's own.
func (p *publisher) commit(ctx context.Context, tx sqldb.Tx, e edit, d draft, prev *publication, at time.Time) (*publication, error) {
	version, err := newestVersion(ctx, tx)
	if err != nil {
		return nil, err
	}
	if version != d.stored() {
		return nil, errConflict
	}
	if d.cells, err = listCells(ctx, tx); err != nil {
		return nil, err
	}
	if e.apply != nil {
		if err := e.apply(ctx, tx, &d); err != nil {
			return nil, err
		}
	}
	m, err := d.build()
	if err != nil {
		return nil, err
	}
	out := prev
	if prev == nil || !alike(prev.m, m) {
		if out, err = p.insert(ctx, tx, m, e.cause, at); err != nil {
			return nil, err
		}
	}
	if e.action == "" {
		return out, nil
	}
	return out, record(ctx, tx, change{at: at, cause: e.cause, action: e.action, subject: e.subject, version: out.m.Version})
}

func (p *publisher) insert(ctx context.Context, tx sqldb.Tx, m *topology.Map, cause Cause, at time.Time) (*publication, error) {
	snapshot, err := p.key.Sign(m)
	if err != nil {
		return nil, err
	}
	out := &publication{m: m, snapshot: snapshot, made: made{version: m.Version, at: at, cause: cause}}
	free, err := insertMap(ctx, tx, stored{made: out.made, snapshot: snapshot})
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, errConflict
	}
	return out, nil
}

// alike tells maps that differ in nothing but their version.
func alike(a, b *topology.Map) bool {
	same := *b
	same.Version = a.Version
	first, err := topology.Encode(a)
	if err != nil {
		return false
	}
	second, err := topology.Encode(&same)
	return err == nil && bytes.Equal(first, second)
}

// newest map as stored; nil before the first. What is held already is not read again.
func (p *publisher) newest(ctx context.Context) (*publication, error) {
	version, err := newestVersion(ctx, p.store.db)
	if err != nil || version == 0 {
		return nil, err
	}
	if held := p.feed.newest(); held != nil && held.m.Version == version {
		return held, nil
	}
	s, err := p.store.newest(ctx)
	if err != nil {
		return nil, err
	}
	return p.open(s)
}

// open a map of the history.
func (p *publisher) open(s stored) (*publication, error) {
	m, err := topology.Open(s.snapshot, p.keys)
	if err != nil {
		return nil, fmt.Errorf("controlplane: map %d of the history: %w", s.version, err)
	}
	if m.Version != s.version {
		return nil, fmt.Errorf("controlplane: the history has map %d as version %d", m.Version, s.version)
	}
	return &publication{m: m, snapshot: s.snapshot, made: s.made}, nil
}

// version of the history, opened. UNKNOWN_VERSION; 0 is the newest.
func (p *publisher) version(ctx context.Context, version uint64) (*publication, error) {
	held := p.feed.newest()
	if version == 0 && held == nil {
		return nil, noMap()
	}
	if held != nil && (version == 0 || version == held.m.Version) {
		return held, nil
	}
	s, err := p.store.read(ctx, version)
	if err != nil {
		return nil, err
	}
	return p.open(s)
}

func noMap() error {
	return problem.New(problem.NotFound, "UNKNOWN_VERSION", "there is no map yet")
}

// followEvery bounds how late this process has what another has published: a standby, or a leader of old that was frozen.
const followEvery = 250 * time.Millisecond

// follow what others publish until ctx ends.
func (p *publisher) follow(ctx context.Context) {
	failing := false
	for {
		next, err := p.newest(ctx)
		switch {
		case err == nil && next != nil:
			p.feed.offer(next)
			failing = false
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			p.log.WarnContext(ctx, "the newest map cannot be read; the one that is held stays", "error", err)
		}
		if p.clock.Sleep(ctx, followEvery) != nil {
			return
		}
	}
}
