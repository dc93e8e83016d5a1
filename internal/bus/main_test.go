package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const home = ident.Region("us-east-1")

// connect a process to a region's broker, with the streams declared.
func connect(t *testing.T, url, name string) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: url}, Name: name, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(b.Close)
	if err := b.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	return b
}

func newBus(t *testing.T) *bus.Bus {
	t.Helper()
	return connect(t, bustest.Start(t), t.Name())
}

func message(i int) bus.Message {
	return bus.Message{ID: fmt.Sprintf("m-%d", i), Subject: "order.use1.shipped", Data: fmt.Appendf(nil, "body %d", i)}
}

func messages(from, to int) []bus.Message {
	var all []bus.Message
	for i := from; i < to; i++ {
		all = append(all, message(i))
	}
	return all
}

func publish(t *testing.T, b *bus.Bus, ms ...bus.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), home, ms); err != nil {
		t.Fatal(err)
	}
}

// publishUntil acknowledged, the way a relay does while the broker comes back.
func publishUntil(t *testing.T, b *bus.Bus, ms ...bus.Message) {
	t.Helper()
	await(t, "the broker takes messages again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return b.Publish(ctx, home, ms) == nil
	})
}

var orders = bus.Consumer{Region: home, Stream: bus.StreamOrder, Durable: "orders", Subject: "order.>"}

// background runs a consumer until the returned function, or the test's end, stops it.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// patience of a test with the broker: far longer than anything takes, so that only a defect ends it.
const patience = 60 * time.Second

// await a state that can only be asked for.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it never came about: %s", what)
		}
	}
}

func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("nothing came: %s", what)
	}
	return v
}

func nothing[T any](t *testing.T, from <-chan T, why string) {
	t.Helper()
	select {
	case v := <-from:
		t.Errorf("%v came: %s", v, why)
	default:
	}
}
