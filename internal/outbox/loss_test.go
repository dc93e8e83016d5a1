package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// witness notes what must be on a broker's disk by its acknowledgements.
type witness struct {
	outbox.Publisher
	broker *bustest.Process

	mu     sync.Mutex
	acked  int
	synced map[string]int64
}

func (w *witness) Publish(ctx context.Context, region ident.Region, messages []bus.Message) error {
	if err := w.Publisher.Publish(ctx, region, messages); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked += len(messages)
	w.synced = w.broker.Sizes()
	return nil
}

func (w *witness) seen() (acked int, synced map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked, w.synced
}

func newBus(t *testing.T, urls map[ident.Region]string) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{URLs: urls, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(b.Close)
	for region := range urls {
		await(t, "the streams are there", func() bool { return b.EnsureStreams(t.Context(), region) == nil })
	}
	return b
}

// A broker's process is killed while events flow, and its disk loses what was not synced. That is modeled by the setting's
// promise: with "always" all that was in the files of messages at an acknowledgement is kept, and the rest cut off, in the
// middle of a message if it falls so; with an interval that has not ended yet, nothing is kept. Whether the disk keeps what is
// synced is not tested. The second is the contrast: without the replay, acknowledged events would be gone.
func TestAKilledBrokerThatLosesWhatWasNotSyncedLosesNoAcknowledgedEvent(t *testing.T) {
	for setting, lost := range map[string]bool{"always": false, "2m": true} {
		t.Run(setting, func(t *testing.T) {
			db, broker := sqldbtest.New(t, sqldb.Customer), bustest.NewProcess(t, setting)
			b := newBus(t, map[ident.Region]string{home: broker.URL()})
			w := &witness{Publisher: b, broker: broker}
			relay := newRelay(db, "use1-a", w, newGate())
			run(t, relay)
			const n, before = 300, 100
			for i := range n {
				enqueue(t, db, event(fmt.Sprint("key ", i%10), fmt.Sprintf("m/%03d", i)))
				if i == n/2 {
					await(t, "some are acknowledged", func() bool { acked, _ := w.seen(); return acked >= before })
					broker.Kill() // while others are on their way
				}
			}
			acked, synced := w.seen()
			if lost {
				synced = nil
			}
			broker.LoseUnsynced(synced)
			broker.Start()
			newBus(t, map[ident.Region]string{home: broker.URL()}) // with its streams
			relay.Nudge()
			awaitLag(t, relay, 0)
			has := broker.Messages(bus.StreamOrder)
			t.Logf("%d of %d events were acknowledged before the kill; the broker has %d afterwards", acked, n, has)
			if (has < n) != lost || has > n {
				t.Errorf("it has %d", has)
			}
			if lost {
				replay(t, db, everything(home))
				relay.Nudge()
				awaitLag(t, relay, 0)
			}
			if got := consume(t, db, b, n); !slices.Equal(got, numbered("m", n)) {
				t.Errorf("effects of %v", got)
			}
		})
	}
}

// The link to a region is cut while events flow: the breaker opens, those of the other region go on, and what waited comes in
// the order of its keys once the link is mended.
func TestACutLinkDelaysOnlyWhatGoesOverItAndKeepsTheOrder(t *testing.T) {
	db, far := sqldbtest.New(t, sqldb.Customer), bustest.Start(t)
	cable := bustest.NewCable(t, far)
	b := newBus(t, map[ident.Region]string{home: bustest.Start(t), west: cable.URL()})
	opened, closed := make(chan struct{}, 100), make(chan struct{}, 100)
	guard := breaker.New(func(d ident.Region, _, to string) {
		switch {
		case d != west:
			t.Errorf("the breaker of %s is %s", d, to)
		case to == "open":
			opened <- struct{}{}
		case to == "closed":
			closed <- struct{}{}
		}
	})
	relay := newRelay(db, "use1-a", b, guard)
	run(t, relay)
	arrived := map[ident.Region]*broker{home: newBroker(), west: newBroker()}
	attached := make(chan struct{}, 2)
	watch := newBus(t, map[ident.Region]string{west: far})
	follow := func(from *bus.Bus, region ident.Region) {
		background(t, func(ctx context.Context) error {
			return from.Follow(ctx, bus.Consumer{Region: region, Stream: bus.StreamOrder, Subject: "order.>", Attached: func() { attached <- struct{}{} }},
				func(ctx context.Context, m bus.Message) error {
					return arrived[region].Publish(ctx, region, []bus.Message{m})
				})
		})
	}
	follow(b, home)
	follow(watch, west)
	<-attached
	<-attached
	const each = 25
	flow := func(from, to int) {
		for i := from; i < to; i++ {
			for _, key := range []string{"a", "b", "c"} {
				there := event(key, fmt.Sprintf("%s/%03d", key, i))
				there.Destination = west
				enqueue(t, db, there, event(key, fmt.Sprintf("near-%s/%03d", key, i)))
			}
		}
		relay.Nudge()
	}
	flow(0, each)
	arrived[west].awaitCount(t, 3*each)
	cable.Cut()
	flow(each, 2*each)
	<-opened
	flow(2*each, 3*each)
	arrived[home].awaitCount(t, 3*3*each)
	if got := arrived[west].ids(); len(got) != 3*each {
		t.Errorf("%d came over a link that is cut", len(got))
	}
	cable.Mend()
	got := arrived[west].awaitCount(t, 3*3*each)
	<-closed
	awaitLag(t, relay, 0)
	for _, key := range []string{"a", "b", "c"} {
		if got := ofKey(got, key); !slices.Equal(got, numbered(key, 3*each)) {
			t.Errorf("%s: %s", key, strings.Join(got, " "))
		}
	}
}

// background runs until the test's end.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
