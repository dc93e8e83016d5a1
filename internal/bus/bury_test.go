package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// burying bus: messages are given up after two tries.
func burying(t *testing.T, url string, bury bus.Bury) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: url}, Name: t.Name(), Log: slog.New(slog.DiscardHandler), Bury: bury, Tries: 2})
	t.Cleanup(b.Close)
	if err := b.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAMessageThatFailsEachTimeIsGivenUpAndKept(t *testing.T) {
	for name, consume := range map[string]func(*bus.Bus, context.Context, bus.Handler) error{
		"one by one": func(b *bus.Bus, ctx context.Context, h bus.Handler) error { return b.Consume(ctx, orders, h) },
		"in batches": func(b *bus.Bus, ctx context.Context, h bus.Handler) error {
			return b.ConsumeBatches(ctx, orders, func(ctx context.Context, all []bus.Message) error {
				for _, m := range all {
					if err := h(ctx, m); err != nil {
						return err
					}
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, dead, good := bustest.Start(t), make(chan bus.DeadLetter, 10), make(chan string, 10)
			refuse := make(chan struct{}, 1)
			refuse <- struct{}{}
			b := burying(t, url, func(_ context.Context, d bus.DeadLetter) error {
				select {
				case <-refuse: // the first time it cannot be kept, and so it must come again
					return errors.New("the database is away")
				default:
				}
				dead <- d
				return nil
			})
			background(t, func(ctx context.Context) error {
				return consume(b, ctx, func(_ context.Context, m bus.Message) error {
					if m.ID == "m-1" {
						return errors.New("it cannot be read")
					}
					good <- m.ID
					return nil
				})
			})
			publish(t, b, message(1), message(2))
			if id := receive(t, good, "the other message"); id != "m-2" {
				t.Errorf("got %s", id)
			}
			d := receive(t, dead, "the dead letter")
			if d.Consumer != "orders" || d.Region != home || d.Message.ID != "m-1" || d.Message.Delivered < 3 || d.Reason != "it cannot be read" ||
				string(d.Message.Data) != "body 1" || d.Message.Subject != message(1).Subject {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAMessageIsNotGivenUpBecauseSomethingIsAway(t *testing.T) {
	dead, done := make(chan bus.DeadLetter, 10), make(chan int, 10)
	b := burying(t, bustest.Start(t), func(_ context.Context, d bus.DeadLetter) error { dead <- d; return nil })
	background(t, func(ctx context.Context) error {
		return b.Consume(ctx, orders, func(_ context.Context, m bus.Message) error {
			if m.Delivered <= 3 {
				return fmt.Errorf("order: %w", problem.New(problem.Unavailable, "REGION_AWAY", "the owner is away"))
			}
			done <- m.Delivered
			return nil
		})
	})
	publish(t, b, message(1))
	if n := receive(t, done, "its last try"); n != 4 {
		t.Errorf("handled at try %d", n)
	}
	nothing(t, dead, "what it waited for came back")
}

func TestAReplayedDeadLetterIsForItsConsumerAlone(t *testing.T) {
	b := newBus(t)
	mine, others, batches := make(chan bus.Message, 10), make(chan bus.Message, 10), make(chan bus.Message, 10)
	other, third := orders, orders
	other.Durable, third.Durable = "others", "third"
	background(t, func(ctx context.Context) error { return b.Consume(ctx, orders, into(mine)) })
	background(t, func(ctx context.Context) error { return b.Consume(ctx, other, into(others)) })
	background(t, func(ctx context.Context) error {
		return b.ConsumeBatches(ctx, third, func(_ context.Context, all []bus.Message) error {
			for _, m := range all {
				batches <- m
			}
			return nil
		})
	})
	id := "order/a/b/requested" // ids have slashes
	again := message(1)
	again.ID = bus.ReplayID("orders", 7, id)
	publish(t, b, again, message(2))
	seen := map[string]bool{}
	for range 2 {
		seen[receive(t, mine, "both").ID] = true
	}
	if !seen[id] || !seen["m-2"] {
		t.Errorf("got %v", seen)
	}
	for name, ch := range map[string]chan bus.Message{"another": others, "a third, in batches": batches} {
		if m := receive(t, ch, name); m.ID != "m-2" {
			t.Errorf("%s got %s", name, m.ID)
		}
	}
}

func TestABrokerThatHasLostItsDiskIsGivenItsStreamsAnew(t *testing.T) {
	broker := bustest.New(t)
	b := connect(t, broker.URL(), "publisher")
	got, seen := make(chan bus.Message, 100), make(chan bus.Message, 100)
	background(t, func(ctx context.Context) error { return b.Consume(ctx, orders, into(got)) })
	background(t, func(ctx context.Context) error { return b.Follow(ctx, orders, into(seen)) })
	awaitFollower(t, b, seen)
	publish(t, b, messages(0, 20)...)
	for n := 0; n < 20; {
		if !isProbe(receive(t, got, "what came before")) {
			n++
		}
	}
	for m := receive(t, seen, "what came before"); m.ID != "m-19"; m = receive(t, seen, "what came before") {
	}
	broker.Stop()
	broker.Lose()
	broker.Start()
	publishUntil(t, b, message(100))
	for _, ch := range []chan bus.Message{got, seen} {
		m := receive(t, ch, "the first message of the new stream")
		for isProbe(m) {
			m = receive(t, ch, "the first message of the new stream")
		}
		if m.ID != "m-100" {
			t.Errorf("got %s", m.ID)
		}
	}
}
