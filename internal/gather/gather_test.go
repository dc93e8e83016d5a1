package gather_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/gather"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// shelf is a store whose readings the test lets through.
type shelf struct {
	mu     sync.Mutex
	values map[string]int
	asked  [][]string
	// begun is told of each reading, which then waits for let.
	begun, let chan struct{}
	err        error
}

func newShelf(values map[string]int) *shelf {
	return &shelf{values: values, begun: make(chan struct{}, 10_000), let: make(chan struct{}, 10_000)}
}

func (s *shelf) read(_ context.Context, keys []string) (map[string]int, error) {
	s.begun <- struct{}{}
	<-s.let
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, slices.Clone(keys))
	found := map[string]int{}
	for _, k := range keys {
		if v, ok := s.values[k]; ok {
			found[k] = v
		}
	}
	return found, s.err
}

func (s *shelf) reader(most int) *gather.Reader[string, int] {
	return gather.New(gather.Config[string, int]{Read: s.read, MaxKeys: most, Timeout: time.Minute})
}

func TestWhoIsAloneIsReadAtOnceAndMissesWhatIsNotThere(t *testing.T) {
	s := newShelf(map[string]int{"a": 1, "b": 2})
	s.let <- struct{}{}
	got, err := s.reader(10).Of(t.Context(), "a", "c", "a")
	if err != nil || len(got) != 1 || got["a"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if len(s.asked) != 1 || !slices.Equal(s.asked[0], []string{"a", "c"}) {
		t.Errorf("asked %v, want each key once", s.asked)
	}
}

// Those who come while all readings are under way share the next one, each key once.
func TestThoseWhoComeDuringAReadingShareTheNext(t *testing.T) {
	s := newShelf(map[string]int{"a": 1, "b": 2, "c": 3})
	r := s.reader(10)
	r.Limit(1)
	var all sync.WaitGroup
	all.Go(func() { _, _ = r.Of(t.Context(), "a") })
	<-s.begun
	got := make([]map[string]int, 3)
	for i, key := range []string{"b", "c", "b"} {
		all.Go(func() { got[i], _ = r.Of(t.Context(), key) })
	}
	for r.Waiting() < 3 { // they are on their way
		if t.Context().Err() != nil {
			t.Fatal("they do not come")
		}
	}
	s.let <- struct{}{}
	s.let <- struct{}{}
	all.Wait()
	if len(s.asked) != 2 || len(s.asked[1]) != 2 {
		t.Errorf("asked %v, want the second reading to be of two keys for three", s.asked)
	}
	for i, want := range []int{2, 3, 2} {
		if key := []string{"b", "c", "b"}[i]; got[i][key] != want {
			t.Errorf("%s: got %d, want %d", key, got[i][key], want)
		}
	}
}

func TestAReadingIsOfNoMoreKeysThanItMay(t *testing.T) {
	s := newShelf(map[string]int{})
	r := s.reader(3)
	r.Limit(1)
	var all sync.WaitGroup
	all.Go(func() { _, _ = r.Of(t.Context(), "first") })
	<-s.begun
	for i := range 4 {
		all.Go(func() { _, _ = r.Of(t.Context(), "x"+strconv.Itoa(i), "y"+strconv.Itoa(i)) })
	}
	all.Go(func() { _, _ = r.Of(t.Context(), "1", "2", "3", "4", "5") })
	for r.Waiting() < 5 {
		if t.Context().Err() != nil {
			t.Fatal("they do not come")
		}
	}
	close(s.let)
	all.Wait()
	alone := 0
	for _, keys := range s.asked {
		if len(keys) == 5 {
			alone++
		} else if len(keys) > 3 {
			t.Errorf("a reading was of %v", keys)
		}
	}
	if alone != 1 {
		t.Errorf("who asks for more than a reading may is read %d times by itself, want once", alone)
	}
}

func TestAllHearOfAReadingThatFailsAndTheNextIsReadAnew(t *testing.T) {
	s := newShelf(map[string]int{"a": 1})
	s.err = errors.New("the store is away")
	close(s.let)
	r := s.reader(10)
	if _, err := r.Of(t.Context(), "a"); !errors.Is(err, s.err) {
		t.Errorf("got %v", err)
	}
	s.err = nil
	if got, err := r.Of(t.Context(), "a"); err != nil || got["a"] != 1 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

func TestAPanicOfAReadingIsAnError(t *testing.T) {
	r := gather.New(gather.Config[string, int]{Read: func(context.Context, []string) (map[string]int, error) { panic("oh") }, MaxKeys: 1, Timeout: time.Minute})
	if _, err := r.Of(t.Context(), "a"); err == nil {
		t.Error("no error")
	}
}

func TestWhoLeavesIsNotReadForAndDoesNotEndTheReadingOfOthers(t *testing.T) {
	s := newShelf(map[string]int{"a": 1, "b": 2})
	r := s.reader(10)
	r.Limit(1)
	gone, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := r.Of(gone, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
	})
	<-s.begun
	all.Go(func() {
		if _, err := r.Of(gone, "never"); !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
	})
	for r.Waiting() < 1 {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
	}
	leave()
	all.Wait()
	close(s.let)
	if got, err := r.Of(t.Context(), "b"); err != nil || got["b"] != 2 {
		t.Errorf("who stayed got %v, %v", got, err)
	}
	for _, keys := range s.asked {
		if slices.Contains(keys, "never") {
			t.Errorf("%v was read, and nobody waits for it", keys)
		}
	}
}

func TestACrowdIsToldToComeBack(t *testing.T) {
	s := newShelf(nil)
	r := s.reader(1)
	r.Limit(0)
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range gather.MaxWaiting {
		all.Go(func() { _, _ = r.Of(ctx, "a") })
	}
	for r.Waiting() < gather.MaxWaiting {
		if t.Context().Err() != nil {
			t.Fatal("they do not come")
		}
	}
	if _, err := r.Of(t.Context(), "a"); !problem.Is(err, "READS_CROWDED") {
		t.Errorf("got %v, want READS_CROWDED", err)
	}
	leave()
	all.Wait()
}

// Whatever is written before somebody asks is in the answer.
func TestNobodyIsGivenWhatIsOlderThanTheQuestion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(map[string]int{})
		close(s.let)
		r := s.reader(rapid.IntRange(1, 5).Draw(t, "most"))
		var all sync.WaitGroup
		for c := range rapid.IntRange(1, 8).Draw(t, "askers") {
			key := strconv.Itoa(c)
			all.Go(func() {
				for n := 1; n <= 20; n++ {
					s.mu.Lock()
					s.values[key] = n
					s.mu.Unlock()
					if got, err := r.Of(context.Background(), key, "other"); err != nil || got[key] != n {
						t.Errorf("%s: got %d, %v after %d was written", key, got[key], err, n)
						return
					}
				}
			})
		}
		all.Wait()
	})
}
