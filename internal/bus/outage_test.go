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
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestPublishingToADeadBrokerFailsWithinTheContext(t *testing.T) {
	broker := bustest.New(t)
	b := connect(t, broker.URL(), t.Name())
	publish(t, b, message(1))
	broker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Publish(ctx, home, messages(2, 10)); err == nil {
		t.Error("it claims to have published")
	}
	// By now the connection is known to be lost, and publishing fails at once.
	await(t, "the loss is noticed", func() bool { return b.Ready(home) != nil })
	if err := b.Publish(t.Context(), home, messages(2, 10)); !problem.Is(err, "BROKER_UNREACHABLE") {
		t.Errorf("got %v", err)
	}
}

func TestABrokerThatWasNeverThereKeepsNobodyWaiting(t *testing.T) {
	broker := bustest.New(t)
	url := broker.URL()
	broker.Stop()
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: url}, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(b.Close)
	if err := b.Publish(t.Context(), home, messages(1, 2)); !problem.Is(err, "BROKER_UNREACHABLE") {
		t.Errorf("publish: got %v", err)
	}
	if err := b.Ready(home); err == nil {
		t.Error("it claims to be ready")
	}
	if err := b.Publish(t.Context(), "eu-central-1", messages(1, 2)); !problem.Is(err, "NO_BROKER") {
		t.Errorf("a region without a broker: got %v", err)
	}
	broker.Start()
	await(t, "the bus finds the broker", func() bool { return b.EnsureStreams(t.Context(), home) == nil })
	publishUntil(t, b, message(1))
}

func TestARestartOfTheBrokerLosesNothingAcknowledged(t *testing.T) {
	broker := bustest.New(t)
	publisher, consumer := connect(t, broker.URL(), "publisher"), connect(t, broker.URL(), "consumer")
	const n = 100
	got := make(chan bus.Message, 10*n)
	publish(t, publisher, messages(0, n)...)
	broker.Stop()
	// The consumer starts while the broker is away, and finds it by itself.
	background(t, func(ctx context.Context) error { return consumer.Consume(ctx, orders, into(got)) })
	broker.Start()
	seen := map[string]bool{}
	for len(seen) < n {
		seen[receive(t, got, "what was acknowledged before the restart").ID] = true
	}
	// A restart under a consumer that runs.
	broker.Stop()
	broker.Start()
	publishUntil(t, publisher, messages(n, 2*n)...)
	publishUntil(t, publisher, messages(n, 2*n)...) // a relay that does not know publishes again
	for len(seen) < 2*n {
		seen[receive(t, got, "what was acknowledged after the restart").ID] = true
	}
	if err := consumer.Ready(home); err != nil {
		t.Error(err)
	}
}

func TestAFollowerIsShownAfterwardsWhatItMissed(t *testing.T) {
	for name, seenBefore := range map[string]bool{"after it had seen some": true, "before it had seen any": false} {
		t.Run(name, func(t *testing.T) {
			broker := bustest.New(t)
			publisher := connect(t, broker.URL(), "publisher")
			follower := connect(t, broker.URL(), "follower")
			got := make(chan bus.Message, 1000)
			background(t, func(ctx context.Context) error { return follower.Follow(ctx, orders, into(got)) })
			if seenBefore {
				awaitFollower(t, publisher, got)
			} else {
				await(t, "the follower is in place", func() bool { return broker.Consumers(bus.StreamOrder) == 1 })
			}
			broker.Stop()
			broker.Start()
			// A new connection is there at once, while the follower's is still waiting for its next try.
			publishUntil(t, connect(t, broker.URL(), "late publisher"), messages(1, 21)...)
			for want := 1; want <= 20; {
				m := receive(t, got, fmt.Sprint("message ", want))
				if isProbe(m) {
					continue
				}
				if m.ID != fmt.Sprintf("m-%d", want) {
					t.Fatalf("got %s, want m-%d", m.ID, want)
				}
				want++
			}
		})
	}
}

func TestClosingEndsWhatRuns(t *testing.T) {
	b := newBus(t)
	got := make(chan bus.Message, 10)
	stopConsumer := background(t, func(ctx context.Context) error { return b.Consume(ctx, orders, into(got)) })
	stopFollower := background(t, func(ctx context.Context) error { return b.Follow(ctx, orders, into(got)) })
	publish(t, b, message(1))
	receive(t, got, "a message")
	stopConsumer()
	stopFollower()
}
