package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

func TestManualWakesOnlyThoseWhoseTimeHasCome(t *testing.T) {
	c := clock.NewManual(time.Unix(1000, 0))
	early, late := make(chan error, 1), make(chan error, 1)
	go func() { early <- c.Sleep(t.Context(), time.Second) }()
	go func() { late <- c.Sleep(t.Context(), time.Minute) }()
	if err := c.AwaitSleepers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	c.Advance(2 * time.Second)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	select {
	case <-late:
		t.Fatal("the later sleeper woke too early")
	default:
	}
	c.Advance(time.Hour)
	if err := <-late; err != nil {
		t.Fatal(err)
	}
}

func TestManualSleepEndsWithItsContext(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Sleep(ctx, time.Hour) }()
	if err := c.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want a cancelled context", err)
	}
}
