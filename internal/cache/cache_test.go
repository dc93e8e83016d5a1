package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
)

var start = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// counting gives how often it was asked, and tells when it has answered.
type counting struct {
	n     atomic.Int64
	asked chan struct{}
	err   error
}

func (c *counting) load(context.Context, string) (int64, error) {
	n := c.n.Add(1)
	defer func() { c.asked <- struct{}{} }()
	return n, c.err
}

func newCache(size int, stale time.Duration) (*Cache[string, int64], *clock.Manual, *counting) {
	now := clock.NewManual(start)
	return New[string, int64](Config{Size: size, Fresh: 5 * time.Second, Stale: stale, LoadTime: time.Minute, Clock: now}), now, &counting{asked: make(chan struct{}, 100)}
}

func want(t *testing.T, c *Cache[string, int64], l *counting, value int64) {
	t.Helper()
	if got, err := c.Get(t.Context(), "a", l.load); got != value || err != nil {
		t.Errorf("it is %d (%v), want %d", got, err, value)
	}
}

func TestAValueIsKeptWhileItIsFresh(t *testing.T) {
	c, now, l := newCache(10, 0)
	want(t, c, l, 1)
	now.Advance(5*time.Second - 1)
	want(t, c, l, 1)
	now.Advance(1)
	want(t, c, l, 2)
	c.Forget("a")
	want(t, c, l, 3)
}

func TestAStaleValueIsGivenWhileItIsReadAnew(t *testing.T) {
	c, now, l := newCache(10, time.Minute)
	want(t, c, l, 1)
	<-l.asked
	now.Advance(6 * time.Second)
	want(t, c, l, 1)
	<-l.asked
	for { // the answer is there; it is put in place right after
		if got, err := c.Get(t.Context(), "a", l.load); err != nil || got == 2 {
			break
		}
	}
	if n := l.n.Load(); n != 2 {
		t.Errorf("it was read %d times", n)
	}
	l.err = errors.New("gone")
	now.Advance(6 * time.Second)
	want(t, c, l, 2)
	<-l.asked
	want(t, c, l, 2)
	now.Advance(time.Hour)
	if _, err := c.Get(t.Context(), "a", l.load); err == nil {
		t.Error("a value of an hour ago is given")
	}
}

func TestAnErrorIsNotKept(t *testing.T) {
	c, _, l := newCache(10, 0)
	l.err = errors.New("gone")
	if _, err := c.Get(t.Context(), "a", l.load); !errors.Is(err, l.err) {
		t.Errorf("the error is %v", err)
	}
	l.err = nil
	want(t, c, l, 2)
}

func TestManyAtOnceReadOnce(t *testing.T) {
	c, _, _ := newCache(10, 0)
	var n atomic.Int64
	begun, goOn := make(chan struct{}), make(chan struct{})
	load := func(context.Context, string) (int64, error) {
		close(begun) // a second one panics
		<-goOn
		return n.Add(1), nil
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := c.Get(t.Context(), "a", load); got != 1 || err != nil {
				t.Errorf("it is %d (%v)", got, err)
			}
		})
	}
	<-begun
	close(goOn)
	wg.Wait()
}

func TestWhoLeavesDoesNotEndWhatOthersWaitFor(t *testing.T) {
	c, _, _ := newCache(10, 0)
	begun, goOn := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context, _ string) (int64, error) {
		close(begun)
		<-goOn
		return 7, ctx.Err()
	}
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := c.Get(impatient, "a", load)
		left <- err
	}()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves is told %v", err)
	}
	close(goOn)
	if got, err := c.Get(t.Context(), "a", func(context.Context, string) (int64, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("the next is given %d (%v)", got, err)
	}
}

func TestWhatIsForgottenWhileItIsReadIsReadAgain(t *testing.T) {
	c, _, _ := newCache(10, 0)
	var n atomic.Int64
	load := func(context.Context, string) (int64, error) {
		if n.Add(1) == 1 {
			c.Forget("a") // somebody has changed it meanwhile
		}
		return n.Load(), nil
	}
	if got, err := c.Get(t.Context(), "a", load); got != 2 || err != nil {
		t.Errorf("it is %d (%v), which was read before the change", got, err)
	}
}

// What is given is never older than it may be, whatever happens in whichever order, and the size is kept.
func TestNoValueIsOlderThanItMayBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := clock.NewManual(start)
		c := New[string, time.Time](Config{Size: 3, Fresh: 5 * time.Second, LoadTime: time.Minute, Clock: now})
		forgotten := map[string]time.Time{}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				at, err := c.Get(context.Background(), k, func(context.Context, string) (time.Time, error) { return now.Now(), nil })
				if err != nil || now.Now().Sub(at) >= 5*time.Second || at.Before(forgotten[k]) {
					t.Fatalf("%s at %s is of %s (%v)", k, now.Now(), at, err)
				}
			},
			"forget": func(t *rapid.T) {
				now.Advance(1)
				k := key.Draw(t, "key")
				c.Forget(k)
				forgotten[k] = now.Now()
			},
			"wait": func(t *rapid.T) { now.Advance(time.Duration(rapid.Int64Range(1, 3e9).Draw(t, "time"))) },
		})
	})
}

func TestACacheThatIsNotCompleteIsADefect(t *testing.T) {
	whole := Config{Size: 1, Fresh: 1, LoadTime: 1, Clock: clock.System{}}
	for name, spoil := range map[string]func(*Config){
		"size": func(c *Config) { c.Size = 0 }, "fresh": func(c *Config) { c.Fresh = 0 }, "stale": func(c *Config) { c.Stale = -1 },
		"time": func(c *Config) { c.LoadTime = 0 }, "clock": func(c *Config) { c.Clock = nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it is taken")
				}
			}()
			cfg := whole
			spoil(&cfg)
			New[string, int](cfg)
		})
	}
}
