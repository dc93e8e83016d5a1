package breaker_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	east = ident.Region("us-east-1")
	west = ident.Region("us-west-2")
)

var errDown = errors.New("the region does not answer")

func fails() error { return errDown }
func works() error { return nil }

// trip makes a region's breaker open.
func trip(t *testing.T, r *breaker.Regions) {
	t.Helper()
	for range 5 {
		if err := r.Do(east, fails); !errors.Is(err, errDown) {
			t.Fatalf("got %v", err)
		}
	}
}

// expectOpen: the call is not made.
func expectOpen(t *testing.T, r *breaker.Regions) {
	t.Helper()
	called := false
	err := r.Do(east, func() error { called = true; return nil })
	if err == nil || errors.Is(err, errDown) || called {
		t.Errorf("got %v; called %v", err, called)
	}
}

func TestABreakerOpensAfterFiveFailuresInARow(t *testing.T) {
	r := breaker.New(nil)
	for range 20 { // four failures and a success: no outage
		for range 4 {
			_ = r.Do(east, fails)
		}
		if err := r.Do(east, works); err != nil {
			t.Fatal(err)
		}
	}
	trip(t, r)
	expectOpen(t, r)
}

func TestEachRegionHasABreakerOfItsOwn(t *testing.T) {
	r := breaker.New(nil)
	trip(t, r)
	expectOpen(t, r)
	if err := r.Do(west, works); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAnOpenBreakerLetsOneCallThroughAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		r := breaker.New(func(d ident.Region, from, to string) { changes = append(changes, string(d)+" "+from+" "+to) })
		trip(t, r)
		<-time.After(999 * time.Millisecond)
		expectOpen(t, r)
		<-time.After(2 * time.Millisecond)
		err := r.Do(east, func() error {
			expectOpen(t, r) // a second call beside the first
			return errDown
		})
		if !errors.Is(err, errDown) {
			t.Errorf("got %v", err)
		}
		expectOpen(t, r) // the region is still away
		<-time.After(1001 * time.Millisecond)
		for range 10 {
			if err := r.Do(east, works); err != nil {
				t.Errorf("got %v", err)
			}
		}
		want := []string{"us-east-1 closed open", "us-east-1 open half-open", "us-east-1 half-open open", "us-east-1 open half-open", "us-east-1 half-open closed"}
		if !slices.Equal(changes, want) {
			t.Errorf("told of %q", changes)
		}
	})
}

func TestABreakerTellsItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := breaker.New(nil)
		expect := func(what string, want breaker.State) {
			t.Helper()
			if got := r.State(east); got != want {
				t.Errorf("%s: state %d, want %d", what, got, want)
			}
		}
		expect("at first", breaker.Closed)
		trip(t, r)
		expect("after failures", breaker.Open)
		if r.State(west) != breaker.Closed {
			t.Error("another region's breaker has opened too")
		}
		<-time.After(1001 * time.Millisecond)
		expect("a second later", breaker.HalfOpen)
		_ = r.Do(east, works)
		expect("after a success", breaker.Closed)
	})
}
