package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// Source of signed snapshots.
type Source interface {
	// Name of it in logs and metrics: one word.
	Name() string
	// Watch offers the snapshot that the source has, and each one that follows, until ctx ends or the source fails; the
	// follower begins it anew after a pause. Offer tells why a snapshot was refused, after it has been logged and counted.
	Watch(ctx context.Context, offer func(snapshot []byte) error) error
}

// Observer is told what becomes of snapshots.
type Observer interface {
	// MapTaken: the process follows the map of this version from now on, which the source had first.
	MapTaken(source string, version uint64)
	// MapRefused: the source had a snapshot that must not be followed. Somebody has to look; reason is one of Reason's.
	MapRefused(source, reason string)
	// MapSaved: the map of this version is in the process's file.
	MapSaved(version uint64)
	// SourceFailed: the source could not be asked, or its connection broke.
	SourceFailed(source string)
}

// FollowerDeps of a Follower.
type FollowerDeps struct {
	// Holder that gets the maps.
	Holder *Holder
	// Path of the process's own file of the last good map. Others may write newer ones to it.
	Path string
	// KeyPath of the public keys; read again when a snapshot names a key that is not known.
	KeyPath string
	// Sources besides the file.
	Sources []Source
	Clock   clock.Clock
	Log     *slog.Logger
	Observe Observer
}

// Follower of the map: of all that its sources have, the newest that is signed and valid. See the package comment for what
// it refuses.
type Follower struct {
	deps    FollowerDeps
	sources []Source
	dirty   chan struct{} // the file is not what is held; one pending word says it

	mu   sync.Mutex
	keys Keys
	held struct {
		version        uint64
		snapshot, body []byte
	}
}

// NewFollower reads the keys, and the last good map from the process's file if it has one. That the file is wrong is no
// error while there are other sources: it is refused and alarmed as theirs would be.
func NewFollower(deps FollowerDeps) (*Follower, error) {
	keys, err := ReadKeys(deps.KeyPath)
	if err != nil {
		return nil, err
	}
	f := &Follower{deps: deps, keys: keys, dirty: make(chan struct{}, 1)}
	f.sources = append([]Source{File{Path: deps.Path, Clock: deps.Clock}}, deps.Sources...)
	b, err := readSnapshot(deps.Path)
	if err == nil {
		err = f.offer(File{}.Name(), b)
	}
	if err != nil && len(deps.Sources) == 0 {
		return nil, fmt.Errorf("there is no map to begin with: %w", err)
	}
	return f, nil
}

// First waits for a map that is wanted, from any source, and gives what wanted last said when within ends before.
func (f *Follower) First(ctx context.Context, within time.Duration, wanted func(*Map) error) error {
	last := errors.New("topology: no source has a map")
	if m := f.deps.Holder.Load(); m != nil {
		if last = wanted(m); last == nil {
			return nil
		}
	}
	if len(f.deps.Sources) == 0 {
		return last
	}
	ctx, cancel := context.WithCancel(ctx)
	came := make(chan *Map, 1)
	defer f.deps.Holder.Subscribe(func(m *Map) { // the newest stands in the channel
		select {
		case <-came:
		default:
		}
		came <- m
	})()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	late := make(chan struct{})
	wg.Go(func() {
		if f.deps.Clock.Sleep(ctx, within) == nil {
			close(late)
		}
	})
	f.watch(ctx, &wg)
	for {
		select {
		case m := <-came:
			if last = wanted(m); last == nil {
				return nil
			}
		case <-late:
			return last
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run follows all sources and keeps the file until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	var wg sync.WaitGroup
	f.watch(ctx, &wg)
	f.save(ctx)
	wg.Wait()
}

func (f *Follower) watch(ctx context.Context, wg *sync.WaitGroup) {
	for _, s := range f.sources {
		wg.Go(func() { f.follow(ctx, s) })
	}
}

const (
	// firstPause and longestPause bound the pause before a source that failed is asked again. It doubles until the source has held
	// for longestPause, and is shortened by chance, so that those who lost the same control plane do not come back together. The
	// longest is shorter than routers let a request wait for the map: a control plane that is back may move slots at once, to cells
	// that nobody else has heard of yet.
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
)

// follow one source for as long as it takes.
func (f *Follower) follow(ctx context.Context, s Source) {
	pause, down := firstPause, false
	for {
		begun := f.deps.Clock.Now()
		err := s.Watch(ctx, func(snapshot []byte) error {
			if down {
				f.deps.Log.InfoContext(ctx, "a source of the map is back", "source", s.Name())
			}
			down = false
			return f.offer(s.Name(), snapshot)
		})
		if ctx.Err() != nil {
			return
		}
		f.deps.Observe.SourceFailed(s.Name())
		if f.deps.Clock.Now().Sub(begun) >= longestPause {
			pause = firstPause
		}
		if !down { // once an outage
			f.deps.Log.WarnContext(ctx, "a source of the map fails; the last good map stays", "source", s.Name(), "error", err)
		}
		down = true
		if f.deps.Clock.Sleep(ctx, pause/2+rand.N(pause/2)) != nil {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// offer a snapshot of a source. The error says why it is refused; that it is old or known already is none.
func (f *Follower) offer(source string, snapshot []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.take(source, snapshot)
	if err == nil {
		return nil
	}
	f.deps.Observe.MapRefused(source, Reason(err))
	f.deps.Log.Error("a map is refused; the last good map stays", "source", source, "reason", Reason(err), "version_held", f.held.version, "error", err)
	if source == (File{}).Name() {
		f.spoiled()
	}
	return err
}

func (f *Follower) take(source string, snapshot []byte) error {
	m, body, err := f.open(snapshot)
	if err != nil {
		return err
	}
	switch {
	case m.Version < f.held.version:
		if source == (File{}).Name() {
			f.spoiled()
		}
		return nil // sources are late at times
	case m.Version == f.held.version && !bytes.Equal(body, f.held.body):
		return fmt.Errorf("%w: version %d", ErrSplit, m.Version)
	case m.Version == f.held.version && bytes.Equal(snapshot, f.held.snapshot):
		return nil
	}
	newer := m.Version > f.held.version // or else the same, signed with another key
	f.held.version, f.held.snapshot, f.held.body = m.Version, bytes.Clone(snapshot), bytes.Clone(body)
	if newer && f.deps.Holder.Offer(m) {
		f.deps.Observe.MapTaken(source, m.Version)
		f.deps.Log.Info("a new map", "source", source, "version", m.Version)
	}
	f.spoiled()
	return nil
}

// open a snapshot; one by an unknown key after another look at the keys, which may have been changed.
func (f *Follower) open(snapshot []byte) (*Map, []byte, error) {
	body, err := unseal(snapshot, f.keys)
	if errors.Is(err, ErrUnknownKey) {
		if keys, unread := ReadKeys(f.deps.KeyPath); unread == nil {
			f.keys = keys
			body, err = unseal(snapshot, keys)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := decode(body)
	return m, body, err
}

// spoiled says that the file is not, or may not be, what is held.
func (f *Follower) spoiled() {
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

// saveAgain after a failure: a disk that is full now may have room then.
const saveAgain = 5 * time.Second

// save what is held to the process's file whenever the two differ. Apart from those who offer, so that a disk that hangs
// keeps nobody from following the map.
func (f *Follower) save(ctx context.Context) {
	for {
		select {
		case <-f.dirty:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		version, snapshot := f.held.version, f.held.snapshot
		f.mu.Unlock()
		if version == 0 {
			continue // nothing good was ever held
		}
		if err := f.saveOnce(snapshot); err != nil {
			f.deps.Log.ErrorContext(ctx, "the map's file could not be written", "path", f.deps.Path, "version", version, "error", err)
			f.spoiled()
			if f.deps.Clock.Sleep(ctx, saveAgain) != nil {
				return
			}
			continue
		}
		f.deps.Observe.MapSaved(version)
	}
}

// saveOnce writes the file unless it is so already: what came from the file need not go back.
func (f *Follower) saveOnce(snapshot []byte) error {
	if there, err := os.ReadFile(f.deps.Path); err == nil && bytes.Equal(there, snapshot) {
		return nil
	}
	return WriteFile(f.deps.Path, snapshot)
}
