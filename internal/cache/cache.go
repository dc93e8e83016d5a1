package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// Config of a cache.
type Config struct {
	// Size is how many values are kept; beyond it those go that are used least.
	Size int
	// Fresh is how long a value is given as it is.
	Fresh time.Duration
	// Stale is how much longer it is still given, while it is read anew in the background; 0 for not at all.
	Stale time.Duration
	// LoadTime bounds one reading: it does not end with the caller who happened to be the first to want it.
	LoadTime time.Duration
	Clock    clock.Clock
}

// Cache of values by key. Values are shared: nobody may change one.
type Cache[K comparable, V any] struct {
	cfg    Config
	values *otter.Cache[K, V]
}

// New cache. It panics on a size, a time or a clock that is missing: that is a defect of the program.
func New[K comparable, V any](cfg Config) *Cache[K, V] {
	if cfg.Size <= 0 || cfg.Fresh <= 0 || cfg.Stale < 0 || cfg.LoadTime <= 0 || cfg.Clock == nil {
		panic(fmt.Sprintf("cache: %+v is not complete", cfg))
	}
	options := otter.Options[K, V]{
		MaximumSize: cfg.Size, ExpiryCalculator: otter.ExpiryWriting[K, V](cfg.Fresh + cfg.Stale), Clock: ticking{cfg.Clock}, Logger: &otter.NoopLogger{},
	}
	if cfg.Stale > 0 {
		options.RefreshCalculator = otter.RefreshWriting[K, V](cfg.Fresh)
	}
	return &Cache[K, V]{cfg: cfg, values: otter.Must(&options)}
}

// Get a value, and load it where there is none that may be given. An error is given to all who wait for the same reading, and
// not kept; one of a reading in the background leaves what is there. A caller whose context ends does not wait any longer.
func (c *Cache[K, V]) Get(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	loader := otter.LoaderFunc[K, V](func(ctx context.Context, key K) (V, error) {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.LoadTime)
		defer cancel()
		return load(ctx, key)
	})
	if _, held := c.values.GetEntryQuietly(key); held {
		return c.values.Get(ctx, key, loader) // what is stale begins to be read anew
	}
	type loaded struct {
		v   V
		err error
	}
	done := make(chan loaded, 1)
	go func() {
		v, err := c.values.Get(context.WithoutCancel(ctx), key, loader)
		done <- loaded{v, err}
	}()
	select {
	case l := <-done:
		return l.v, l.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// Forget a value that has changed. What is being read at this moment is not kept either.
func (c *Cache[K, V]) Forget(key K) { c.values.Invalidate(key) }

// ticking gives the cache our clock. Nothing is swept by time: what is too old is not given, and the size bounds the rest.
type ticking struct{ clock clock.Clock }

func (t ticking) NowNano() int64 { return t.clock.Now().UnixNano() }

func (t ticking) Tick(time.Duration) <-chan time.Time { return nil }
