package gather

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// usualLanes: with one reading at a time the store would rest between two.
	usualLanes = 2
	// maxWaiting askers; whoever comes then is told to come back.
	maxWaiting = 4096
)

// Config of a Reader.
type Config[K comparable, V any] struct {
	// Read the values of keys, each once; a key without a value is left out. It must not change what it is given.
	Read func(ctx context.Context, keys []K) (map[K]V, error)
	// MaxKeys of one reading; who asks for more is read by itself.
	MaxKeys int
	// Timeout of one reading: it does not end with one of those who wait for it.
	Timeout time.Duration
	// Lanes are how many readings are under way at once; 0 is two.
	Lanes int
}

// Reader of values by key.
type Reader[K comparable, V any] struct {
	cfg Config[K, V]

	mu       sync.Mutex
	waiting  []*asker[K, V]
	underWay int
}

type asker[K comparable, V any] struct {
	ctx    context.Context
	keys   []K
	done   chan struct{}
	values map[K]V
	err    error
}

// New reader. It panics on a config that is not complete: that is a defect of the program.
func New[K comparable, V any](cfg Config[K, V]) *Reader[K, V] {
	if cfg.Read == nil || cfg.MaxKeys <= 0 || cfg.Timeout <= 0 {
		panic(fmt.Sprintf("gather: a reader of %d keys in %s is not complete", cfg.MaxKeys, cfg.Timeout))
	}
	cfg.Lanes = cmp.Or(cfg.Lanes, usualLanes)
	return &Reader[K, V]{cfg: cfg}
}

// Of keys: the values there are, perhaps among others. Askers are given the same values and the same map, which nobody may change;
// and the same error. READS_CROWDED when too many wait; that of ctx when it ends first.
func (r *Reader[K, V]) Of(ctx context.Context, keys ...K) (map[K]V, error) {
	a := &asker[K, V]{ctx: ctx, keys: keys, done: make(chan struct{})}
	r.mu.Lock()
	if len(r.waiting) >= maxWaiting {
		r.mu.Unlock()
		return nil, problem.New(problem.Unavailable, "READS_CROWDED", "too much is waiting to be read; try again in a moment")
	}
	r.waiting = append(r.waiting, a)
	if r.underWay < r.cfg.Lanes {
		r.underWay++
		go r.drain()
	}
	r.mu.Unlock()
	select {
	case <-a.done:
		return a.values, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drain what waits.
func (r *Reader[K, V]) drain() {
	for {
		group, keys := r.take()
		if len(group) == 0 {
			return
		}
		values, err := r.read(keys)
		for _, a := range group {
			a.values, a.err = values, err
			close(a.done)
		}
	}
}

// take those who wait, as many as one reading is for. None leaves the reader at rest.
func (r *Reader[K, V]) take() (group []*asker[K, V], keys []K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[K]bool{}
	taken := 0
	for _, a := range r.waiting {
		if len(group) > 0 && len(keys)+len(a.keys) > r.cfg.MaxKeys {
			break
		}
		taken++
		if a.ctx.Err() != nil {
			continue // it has gone
		}
		group = append(group, a)
		for _, k := range a.keys {
			if !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	r.waiting = slices.Delete(r.waiting, 0, taken)
	if len(group) == 0 {
		r.underWay--
	}
	return group, keys
}

// read for a group. A panic is theirs to hear of, and not the end of the process.
func (r *Reader[K, V]) read(keys []K) (values map[K]V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("gather: panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Timeout)
	defer cancel()
	return r.cfg.Read(ctx, keys)
}
