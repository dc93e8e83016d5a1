package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Behind is how far a durable consumer is behind its stream.
type Behind struct {
	// Messages that it has not acknowledged.
	Messages uint64
	// Last is when it acknowledged one; zero when it never did.
	Last time.Time
}

// Behind tells how far a durable consumer is, whoever of its processes asks. One that has never consumed is behind by nothing.
func (b *Bus) Behind(ctx context.Context, c Consumer) (Behind, error) {
	l, err := b.link(c.Region)
	if err != nil {
		return Behind{}, err
	}
	consumer, err := l.js.Consumer(ctx, c.Stream, c.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return Behind{}, nil
	}
	if err != nil {
		return Behind{}, fmt.Errorf("bus: consumer %s: %w", c.Durable, err)
	}
	info := consumer.CachedInfo()
	behind := Behind{Messages: info.NumPending + uint64(max(info.NumAckPending, 0))}
	if info.AckFloor.Last != nil {
		behind.Last = *info.AckFloor.Last
	}
	return behind, nil
}
