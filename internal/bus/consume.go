package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// ackWait is how long a handler may take before the message is given to somebody else.
	ackWait = 30 * time.Second
	// maxHandlers run at once in one process and consumer.
	maxHandlers = 32
	// maxBatch messages are handled in one go unless a consumer asks for more: their transaction stays short.
	maxBatch = 64
	// gatherFor is the least time between the beginnings of two batches unless a consumer says otherwise: under load each then has
	// a handful of messages.
	gatherFor = 20 * time.Millisecond
	// batchTimeout leaves most of ackWait for the members of a batch that failed.
	batchTimeout = 5 * time.Second
	// maxAckPending bounds what the broker hands out unanswered, over all processes of a consumer.
	maxAckPending = 1000
	// firstRetry doubles with each delivery up to maxRetry, until the message is given up.
	firstRetry = 100 * time.Millisecond
	maxRetry   = 30 * time.Second
	// reconnectEvery is the pace of trying again to consume from a broker that is away.
	reconnectEvery = 500 * time.Millisecond
	// pullExpiry ends an idle pull: a broker that died without a word is noticed within it.
	pullExpiry = 5 * time.Second
)

// Handler takes one message; an error brings it again later.
type Handler func(ctx context.Context, m Message) error

// BatchHandler takes messages that can share a transaction: all of them, or with an error none. What it refuses is shown to
// it again one by one, so that a bad message keeps no other; it is for effects that can be repeated.
type BatchHandler func(ctx context.Context, all []Message) error

// Consumer says what to consume.
type Consumer struct {
	Region ident.Region
	// Stream of that region.
	Stream string
	// Durable name: processes with the same one share the messages.
	Durable string
	// Subject filter, for example "fulfillment.us-east-1.>".
	Subject string
	// Batch bounds what ConsumeBatches hands over at once; 0 means 64, at most 500. Only for handlers that hold no locks.
	Batch int
	// Gather is the least time between the beginnings of two batches of ConsumeBatches; 0 means 20 ms.
	Gather time.Duration
	// Attached is told by Follow, once, that from here on nothing is missed; may be nil.
	Attached func()
}

// mostBatch is half of what the broker hands out unanswered: another batch gathers meanwhile.
const mostBatch = maxAckPending / 2

func (c Consumer) batch() int { return min(cmp.Or(c.Batch, maxBatch), mostBatch) }

// Consume until ctx ends.
func (b *Bus) Consume(ctx context.Context, c Consumer, handle Handler) error {
	return b.keepConsuming(ctx, c, func(ctx context.Context, messages jetstream.MessagesContext) error {
		return b.handOut(ctx, c, messages, handle)
	})
}

// ConsumeBatches is Consume for messages that arrive together and are cheaper together. One batch is handled at a time;
// the next one gathers meanwhile, and for at least Gather after the last began: nobody waits when little comes.
func (b *Bus) ConsumeBatches(ctx context.Context, c Consumer, handle BatchHandler) error {
	return b.keepConsuming(ctx, c, func(ctx context.Context, messages jetstream.MessagesContext) error {
		return b.handOutBatches(ctx, c, messages, handle)
	})
}

func (b *Bus) keepConsuming(ctx context.Context, c Consumer, handOut func(context.Context, jetstream.MessagesContext) error) error {
	for ctx.Err() == nil {
		if err := b.consume(ctx, c, handOut); err != nil && ctx.Err() == nil {
			b.cfg.Log.WarnContext(ctx, "a consumer is interrupted; it goes on as soon as the broker is back", "consumer", c.Durable, "region", string(c.Region), "error", err)
			pause(ctx, reconnectEvery)
		}
	}
	return nil
}

func (b *Bus) consume(ctx context.Context, c Consumer, handOut func(context.Context, jetstream.MessagesContext) error) error {
	l, err := b.link(c.Region)
	if err != nil {
		return err
	}
	consumer, err := l.js.CreateOrUpdateConsumer(ctx, c.Stream, jetstream.ConsumerConfig{
		Durable: c.Durable, FilterSubject: c.Subject, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		MaxAckPending: maxAckPending, MaxDeliver: -1, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) { // the broker has lost its disk
		err = errors.Join(err, b.EnsureStreams(ctx, c.Region))
	}
	if err != nil {
		return fmt.Errorf("bus: consumer %s: %w", c.Durable, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(max(maxHandlers*2, c.batch())), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return fmt.Errorf("bus: consumer %s: %w", c.Durable, err)
	}
	// What is here already is answered, that it comes again elsewhere at once and not when the broker has waited in vain.
	stop := context.AfterFunc(ctx, messages.Drain)
	defer stop()
	defer messages.Stop()
	return handOut(ctx, messages)
}

// handOut messages to handlers, many at once.
func (b *Bus) handOut(ctx context.Context, c Consumer, messages jetstream.MessagesContext, handle Handler) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxHandlers)
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("bus: consumer %s: %w", c.Durable, err)
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			b.deliver(ctx, c, m, handle)
		})
	}
}

// handOutBatches of the messages that are there, one batch after the other.
func (b *Bus) handOutBatches(ctx context.Context, c Consumer, messages jetstream.MessagesContext, handle BatchHandler) error {
	arrived := make(chan jetstream.Msg, c.batch())
	done := make(chan struct{})
	defer func() { <-done }()
	defer close(arrived)
	go func() {
		defer close(done)
		for first := range arrived {
			begun := time.Now()
			b.deliverBatch(ctx, c, gatherFrom(first, arrived, c.batch()), handle)
			pause(ctx, cmp.Or(c.Gather, gatherFor)-time.Since(begun))
		}
	}()
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("bus: consumer %s: %w", c.Durable, err)
		}
		arrived <- m
	}
}

// gatherFrom takes what has arrived behind the first message, up to a number of messages.
func gatherFrom(first jetstream.Msg, arrived <-chan jetstream.Msg, most int) []jetstream.Msg {
	batch := []jetstream.Msg{first}
	for len(batch) < most {
		select {
		case m, open := <-arrived:
			if !open {
				return batch
			}
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

// deliverBatch in one go, and each by itself if that fails.
func (b *Bus) deliverBatch(ctx context.Context, c Consumer, batch []jetstream.Msg, handle BatchHandler) {
	one := func(ctx context.Context, m Message) error { return handle(ctx, []Message{m}) }
	all, batch := forUs(c, batch)
	if len(batch) > 1 {
		handling, cancel := context.WithTimeout(ctx, batchTimeout)
		err := safely(handling, Message{}, func(ctx context.Context, _ Message) error { return handle(ctx, all) })
		cancel()
		if err == nil {
			for _, m := range batch {
				_ = m.Ack()
			}
			return
		}
	}
	for _, m := range batch {
		b.deliver(ctx, c, m, one)
	}
}

// forUs are the messages of a batch that are not meant for another consumer alone; those are acknowledged.
func forUs(c Consumer, batch []jetstream.Msg) (all []Message, ours []jetstream.Msg) {
	for _, m := range batch {
		in := incoming(m)
		if in.meantFor != "" && in.meantFor != c.Durable {
			_ = m.Ack()
			continue
		}
		all, ours = append(all, in), append(ours, m)
	}
	return all, ours
}

// deliver one message and answer the broker. Should the answer be lost, the message comes again and the inbox knows it.
func (b *Bus) deliver(ctx context.Context, c Consumer, m jetstream.Msg, handle Handler) {
	in := incoming(m)
	if in.meantFor != "" && in.meantFor != c.Durable {
		_ = m.Ack()
		return
	}
	handling, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	err := safely(handling, in, handle)
	if err == nil || b.bury(ctx, c, in, err) {
		_ = m.Ack()
		return
	}
	if ctx.Err() == nil {
		b.cfg.Log.WarnContext(ctx, "a message could not be handled; it comes again", "consumer", c.Durable, "subject", in.Subject, "message", in.ID, "delivered", in.Delivered, "error", err)
	}
	wait := min(firstRetry<<min(in.Delivered, 12), maxRetry)
	_ = m.NakWithDelay(wait/2 + rand.N(wait))
}

func incoming(m jetstream.Msg) Message {
	in := Message{Subject: m.Subject(), Data: m.Data()}
	in.meantFor, in.ID = readdressed(m.Headers().Get(jetstream.MsgIDHeader))
	if meta, err := m.Metadata(); err == nil {
		in.Delivered, in.At = int(min(meta.NumDelivered, 1<<30)), meta.Timestamp
	}
	return in
}

func safely(ctx context.Context, m Message, handle Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return handle(ctx, m)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
