package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// DeadLetter is a message that a consumer has given up.
type DeadLetter struct {
	// Consumer is the durable name of who gave it up.
	Consumer string
	// Region whose broker it came from.
	Region  ident.Region
	Message Message
	// Reason is what its last try failed with; for operators.
	Reason string
}

// Bury keeps a dead letter. After an error the message stays with the broker and comes again.
type Bury func(ctx context.Context, d DeadLetter) error

// DefaultTries of a message before it is given up: with the pauses between them some three minutes, in which a release can be
// rolled back, and in which a message that fails each time has cost little.
const DefaultTries = 14

// buryTimeout bounds the writing of a dead letter.
const buryTimeout = 10 * time.Second

// maxReason bounds what is kept of an error, in bytes.
const maxReason = 1000

// passing tells whether an error says nothing about the message: something is away, or too busy, and the message will do
// when that is back. Such a message is never given up, however long it takes.
func passing(err error) bool {
	kind := problem.KindOf(err)
	return kind == problem.Unavailable || kind == problem.Exhausted || kind == problem.Aborted || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// bury a message that has had all its tries; false when it is to come again.
func (b *Bus) bury(ctx context.Context, c Consumer, m Message, failure error) bool {
	if b.cfg.Bury == nil || m.Delivered < b.cfg.Tries || passing(failure) || ctx.Err() != nil {
		return false
	}
	// The time that the handler had may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), buryTimeout)
	defer cancel()
	reason := strings.ToValidUTF8(failure.Error(), "?")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	if err := b.cfg.Bury(ctx, DeadLetter{Consumer: c.Durable, Region: c.Region, Message: m, Reason: reason}); err != nil {
		b.cfg.Log.WarnContext(ctx, "a dead letter could not be kept; the message comes again", "consumer", c.Durable, "message", m.ID, "error", err)
		return false
	}
	b.cfg.Log.ErrorContext(ctx, "a message is given up; it is kept as a dead letter", "consumer", c.Durable, "subject", m.Subject, "message", m.ID, "error", failure)
	return true
}

// replayPrefix of the ids of messages that are meant for one consumer.
const replayPrefix = "replay/"

// ReplayID of a dead letter's message: one that the broker has not seen yet, and that only the named consumer handles, under
// the message's own id. Tell the replays of one message apart by their number.
func ReplayID(consumer string, number int64, id string) string {
	return replayPrefix + consumer + "/" + strconv.FormatInt(number, 10) + "/" + id
}

// readdressed takes an id apart: whose message it is, when it is meant for one consumer, and its own id.
func readdressed(id string) (consumer, own string) {
	rest, ok := strings.CutPrefix(id, replayPrefix)
	if !ok {
		return "", id
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) != 3 {
		return "", id
	}
	return parts[0], parts[2]
}
