package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// maxAtomic messages of a batch: the broker takes up to a thousand, and gives none to consumers before the last is there.
	maxAtomic = 500
	// maxAtomicBytes of a batch, which the broker keeps in memory meanwhile.
	maxAtomicBytes = 4 << 20

	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

// batches of messages, each for one stream, in the order of the messages; the streams' subjects differ in their first word.
func batches(messages []Message) (all [][]Message) {
	open, bytes := map[string]int{}, map[string]int{}
	for _, m := range messages {
		stream, _, _ := strings.Cut(m.Subject, ".")
		i, ok := open[stream]
		if !ok || len(all[i]) >= maxAtomic || bytes[stream]+len(m.Data) > maxAtomicBytes {
			i = len(all)
			all, open[stream], bytes[stream] = append(all, nil), i, 0
		}
		all[i] = append(all[i], m)
		bytes[stream] += len(m.Data)
	}
	return all
}

// publishBatch in one write of the broker's disk. It refuses a batch with a message that it has seen: then each is published
// for itself, and those are dropped.
func (l *link) publishBatch(ctx context.Context, batch []Message) error {
	if len(batch) == 1 {
		return l.publishOneByOne(ctx, batch)
	}
	id := nuid.Next()
	for i, m := range batch[:len(batch)-1] {
		if err := l.conn.PublishMsg(member(m, id, i+1)); err != nil {
			return err
		}
	}
	last := member(batch[len(batch)-1], id, len(batch))
	last.Header.Set(headerCommit, "1")
	answer, err := l.conn.RequestMsgWithContext(ctx, last)
	if err != nil {
		return err
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Batch int                 `json:"count"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return fmt.Errorf("the broker's answer: %w", err)
	}
	if ack.Error != nil || ack.Batch != len(batch) {
		// Twins, or a broker that knows no batches: whatever it is, if it stands in the way of one message, that one says so.
		return l.publishOneByOne(ctx, batch)
	}
	return nil
}

func member(m Message, batch string, sequence int) *nats.Msg {
	return &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{
		jetstream.MsgIDHeader: {m.ID}, headerBatch: {batch}, headerSequence: {strconv.Itoa(sequence)},
	}}
}
