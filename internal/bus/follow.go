package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Follow shows every new message of a stream to this process, in order, until ctx ends; what comes while the broker is
// away is shown afterwards. An error of the handler is logged and the message passed over: it is for copies in memory.
func (b *Bus) Follow(ctx context.Context, c Consumer, handle Handler) error {
	var at place
	for ctx.Err() == nil {
		if err := b.follow(ctx, c, &at, handle); err != nil && ctx.Err() == nil {
			b.cfg.Log.WarnContext(ctx, "a follower is interrupted; it goes on as soon as the broker is back", "stream", c.Stream, "region", string(c.Region), "error", err)
			pause(ctx, reconnectEvery)
		}
	}
	return nil
}

// forgotten is when a broker drops the consumer of a follower that is gone: some missed pulls.
const forgotten = 30 * time.Second

// place in a stream.
type place struct {
	// next sequence number to be shown; 0 until the stream has been found.
	next uint64
	// stream is when it was made: one that was made later counts from 1 again.
	stream time.Time
}

// find the place to go on from: behind what the stream has when it is first seen, and at the beginning of one that was made
// anew, because the broker has lost its disk.
func (b *Bus) find(ctx context.Context, l *link, c Consumer, at *place) error {
	stream, err := l.js.Stream(ctx, c.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = errors.Join(err, b.EnsureStreams(ctx, c.Region))
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	switch {
	case at.next == 0:
		at.next = info.State.LastSeq + 1
		if c.Attached != nil {
			c.Attached()
		}
	case !info.Created.Equal(at.stream):
		at.next = 1
	}
	at.stream = info.Created
	return nil
}

// follow from a place, which it moves on.
func (b *Bus) follow(ctx context.Context, c Consumer, at *place, handle Handler) error {
	l, err := b.link(c.Region)
	if err != nil {
		return err
	}
	if err := b.find(ctx, l, c, at); err != nil {
		return fmt.Errorf("bus: follow %s: %w", c.Stream, err)
	}
	// Always by number: a consumer of "new messages" that has seen none begins anew after an outage, behind what came
	// meanwhile.
	// No ordered consumer of the client's: after the loss of a stream it would wait in the new one for its old numbers.
	consumer, err := l.js.CreateConsumer(ctx, c.Stream, jetstream.ConsumerConfig{
		FilterSubject: c.Subject, AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at.next,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: forgotten,
	})
	if err != nil {
		return fmt.Errorf("bus: follow %s: %w", c.Stream, err)
	}
	messages, err := consumer.Messages(jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return fmt.Errorf("bus: follow %s: %w", c.Stream, err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for shown := uint64(1); ; shown++ {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("bus: follow %s: %w", c.Stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("bus: follow %s: %w", c.Stream, err)
		}
		if meta.Sequence.Consumer != shown {
			return fmt.Errorf("bus: follow %s: message %d came where %d was to come", c.Stream, meta.Sequence.Consumer, shown)
		}
		at.next = meta.Sequence.Stream + 1
		in := incoming(m)
		if in.meantFor != "" {
			continue
		}
		if err := safely(ctx, in, handle); err != nil {
			b.cfg.Log.WarnContext(ctx, "a followed message was passed over", "subject", m.Subject(), "error", err)
		}
	}
}
