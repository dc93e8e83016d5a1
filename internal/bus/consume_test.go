package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
)

func into(ch chan<- bus.Message) bus.Handler {
	return func(_ context.Context, m bus.Message) error { ch <- m; return nil }
}

func TestAMessageArrivesAsItWasSentAndATwinOfItsIdDoesNot(t *testing.T) {
	b := newBus(t)
	got := make(chan bus.Message, 10)
	publish(t, b, message(1), message(1)) // twins in one batch
	publish(t, b, message(1))             // and in another
	publish(t, b, message(2))
	one := orders
	background(t, func(ctx context.Context) error { return b.Consume(ctx, one, into(got)) })
	seen := map[string]bus.Message{}
	for range 2 {
		m := receive(t, got, "a message")
		seen[m.ID] = m
	}
	m := seen["m-1"]
	if len(seen) != 2 || m.Subject != "order.use1.shipped" || string(m.Data) != "body 1" || m.Delivered != 1 {
		t.Errorf("got %+v", seen)
	}
	// A third message comes after any twin would have.
	publish(t, b, message(3))
	if m := receive(t, got, "the last message"); m.ID != "m-3" {
		t.Errorf("got %s again", m.ID)
	}
}

func TestOnlySubjectsOfTheFilterAreConsumed(t *testing.T) {
	b := newBus(t)
	got := make(chan bus.Message, 10)
	only := orders
	only.Durable, only.Subject = "only-usw2", "order.usw2.>"
	background(t, func(ctx context.Context) error { return b.Consume(ctx, only, into(got)) })
	mine := message(2)
	mine.Subject = "order.usw2.shipped"
	publish(t, b, message(1), mine)
	if m := receive(t, got, "a message"); m.ID != "m-2" {
		t.Errorf("got %+v", m)
	}
	nothing(t, got, "its subject is not of the filter")
}

func TestAMessageWhoseHandlerFailsComesAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"by an error": func() error { return errors.New("the database is away") },
		"by a panic":  func() error { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			handled := make(chan int, 10)
			background(t, func(ctx context.Context) error {
				return b.Consume(ctx, orders, func(_ context.Context, m bus.Message) error {
					handled <- m.Delivered
					if m.Delivered < 3 {
						return fail()
					}
					return nil
				})
			})
			publish(t, b, message(1))
			for want := 1; want <= 3; want++ {
				if got := receive(t, handled, fmt.Sprint("delivery ", want)); got != want {
					t.Errorf("got delivery %d, want %d", got, want)
				}
			}
		})
	}
}

func TestOneBadMessageDoesNotHoldUpTheOthers(t *testing.T) {
	b := newBus(t)
	good := make(chan string, 20)
	background(t, func(ctx context.Context) error {
		return b.Consume(ctx, orders, func(_ context.Context, m bus.Message) error {
			if m.ID == "m-0" {
				return errors.New("it cannot be read")
			}
			good <- m.ID
			return nil
		})
	})
	publish(t, b, messages(0, 11)...)
	seen := map[string]bool{}
	for len(seen) < 10 {
		seen[receive(t, good, "the other messages")] = true
	}
}

func TestProcessesThatShareADurableHandleEachMessageOnce(t *testing.T) {
	url := bustest.Start(t)
	first, second := connect(t, url, "first"), connect(t, url, "second")
	const n = 300
	handled := make(chan string, 2*n)
	var byFirst, bySecond atomic.Int64
	count := func(by *atomic.Int64) bus.Handler {
		return func(_ context.Context, m bus.Message) error { by.Add(1); handled <- m.ID; return nil }
	}
	background(t, func(ctx context.Context) error { return first.Consume(ctx, orders, count(&byFirst)) })
	background(t, func(ctx context.Context) error { return second.Consume(ctx, orders, count(&bySecond)) })
	publish(t, first, messages(0, n)...)
	seen := map[string]int{}
	for range n {
		seen[receive(t, handled, "a message")]++
	}
	if len(seen) != n {
		t.Errorf("%d different messages of %d", len(seen), n)
	}
	nothing(t, handled, "a message was handled twice")
	if byFirst.Load()+bySecond.Load() != n {
		t.Errorf("%d and %d of %d", byFirst.Load(), bySecond.Load(), n)
	}
}

func TestWhatAStoppedProcessHadNotHandledGoesToAnother(t *testing.T) {
	url := bustest.Start(t)
	first, second := connect(t, url, "first"), connect(t, url, "second")
	begun, handled := make(chan bus.Message, 1), make(chan bus.Message, 1)
	stop := background(t, func(ctx context.Context) error {
		return first.Consume(ctx, orders, func(ctx context.Context, m bus.Message) error {
			begun <- m
			<-ctx.Done() // it is stopped in the middle of its work
			return ctx.Err()
		})
	})
	publish(t, first, message(1))
	receive(t, begun, "the first delivery")
	stop()
	background(t, func(ctx context.Context) error { return second.Consume(ctx, orders, into(handled)) })
	if m := receive(t, handled, "the second delivery"); m.ID != "m-1" || m.Delivered != 2 {
		t.Errorf("got %+v", m)
	}
}

func TestAFollowerInEachProcessSeesEveryNewMessageInOrder(t *testing.T) {
	url := bustest.Start(t)
	publisher := connect(t, url, "publisher")
	publish(t, publisher, message(0)) // before anybody follows
	var followers []chan bus.Message
	for _, name := range []string{"first", "second"} {
		b, got := connect(t, url, name), make(chan bus.Message, 100)
		background(t, func(ctx context.Context) error { return b.Follow(ctx, orders, into(got)) })
		awaitFollower(t, publisher, got)
		followers = append(followers, got)
	}
	publish(t, publisher, messages(1, 51)...)
	for i, got := range followers {
		next := 1
		for next <= 50 {
			m := receive(t, got, fmt.Sprintf("message %d at follower %d", next, i))
			if isProbe(m) {
				continue
			}
			if m.ID != fmt.Sprintf("m-%d", next) {
				t.Fatalf("follower %d: got %s, want m-%d", i, m.ID, next)
			}
			next++
		}
	}
}

func TestAFollowersErrorPassesTheMessageOver(t *testing.T) {
	b := newBus(t)
	got := make(chan bus.Message, 100)
	background(t, func(ctx context.Context) error {
		return b.Follow(ctx, orders, func(_ context.Context, m bus.Message) error {
			got <- m
			if m.ID == "m-2" {
				panic("a bug")
			}
			return errors.New("this copy cannot use it")
		})
	})
	awaitFollower(t, b, got)
	publish(t, b, messages(1, 4)...)
	for want := 1; want <= 3; {
		m := receive(t, got, fmt.Sprint("message ", want))
		if isProbe(m) {
			continue
		}
		if m.ID != fmt.Sprintf("m-%d", want) || m.Delivered != 1 {
			t.Errorf("got %+v, want m-%d once", m, want)
		}
		want++
	}
}

var probes atomic.Int64

func isProbe(m bus.Message) bool { return m.Subject == "order.probe" }

// awaitFollower publishes probes until one is seen: from then on the follower is in place.
func awaitFollower(t *testing.T, b *bus.Bus, got <-chan bus.Message) {
	t.Helper()
	await(t, "the follower is in place", func() bool {
		publish(t, b, bus.Message{ID: fmt.Sprint("probe-", probes.Add(1)), Subject: "order.probe"})
		select {
		case <-got:
			return true
		default:
			return false
		}
	})
}

func TestMessagesThatArriveTogetherAreHandledTogether(t *testing.T) {
	b := newBus(t)
	publish(t, b, messages(0, 40)...)
	got, batches := make(chan string, 100), make(chan int, 100)
	background(t, func(ctx context.Context) error {
		return b.ConsumeBatches(ctx, orders, func(_ context.Context, all []bus.Message) error {
			batches <- len(all)
			for _, m := range all {
				got <- m.ID
			}
			return nil
		})
	})
	seen := map[string]bool{}
	for len(seen) < 40 {
		id := receive(t, got, "the messages")
		if seen[id] {
			t.Errorf("%s was handled twice", id)
		}
		seen[id] = true
	}
	if n := len(batches); n > 20 {
		t.Errorf("40 messages that were there came in %d batches", n)
	}
}

func TestABadMessageOfABatchDoesNotHoldUpTheOthers(t *testing.T) {
	for name, fail := range map[string]func() error{
		"by an error": func() error { return errors.New("it cannot be read") },
		"by a panic":  func() error { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			publish(t, b, messages(0, 11)...)
			good, again := make(chan string, 50), make(chan int, 50)
			background(t, func(ctx context.Context) error {
				return b.ConsumeBatches(ctx, orders, func(_ context.Context, all []bus.Message) error {
					for _, m := range all {
						if m.ID == "m-0" {
							if len(all) == 1 {
								again <- m.Delivered
							}
							return fail()
						}
					}
					for _, m := range all {
						good <- m.ID
					}
					return nil
				})
			})
			seen := map[string]bool{}
			for len(seen) < 10 {
				seen[receive(t, good, "the other messages")] = true
			}
			for receive(t, again, "the bad one, again") < 2 {
			}
		})
	}
}
