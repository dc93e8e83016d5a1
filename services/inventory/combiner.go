package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// maxQueue commands wait for one FC; whoever comes then is told to come back. At the rate of one batch in some
	// milliseconds that is a wait of about a second.
	maxQueue = 4096
	// maxBatch commands, and maxBatchLines of them, go into one transaction: it stays short, and its statements small.
	maxBatch      = 512
	maxBatchLines = 4000
	// maxRestarts of a batch whose rows changed between being looked at and being locked.
	maxRestarts = 4
	// batchTimeout bounds one transaction. It is not the callers' deadline: theirs differ, and one who leaves must not
	// spoil it for the others.
	batchTimeout = 10 * time.Second
)

// command on the reservations of one order at one FC.
type command struct {
	ctx   context.Context
	order ident.OrderID
	lines []line // of a reserve, by number
	// touches tells that the command moves units of rows that are there already, so that their stock has to be locked.
	touches bool
	// apply it to the book. It may run several times, each on a fresh book: the last one counts.
	apply  func(b *book) answer
	answer answer
	done   chan struct{}
}

// answer of a command.
type answer struct {
	// until a hold lasts, of a reserve; units that moved, of a release or shipment.
	until time.Time
	units int64
	err   error
}

// combiner turns commands that come at the same time for one FC into one transaction. There is one lane an FC, and at
// most one batch of it under way in this process: while it runs, commands queue, and the next batch takes all of them.
// Nobody waits for company: a command that is alone goes at once, by itself. Several cells may do this for one FC at
// once; then the rows' locks put their batches in order.
type combiner struct {
	db     *sqldb.DB
	region ident.Region
	now    func() time.Time
	// batched is told how many commands went into a transaction.
	batched func(commands int)

	mu    sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	queue   []*command
	running bool
}

// do a command, and wait until its transaction has ended. When ctx ends before it was begun, it has no effect.
func (c *combiner) do(fc string, cmd *command) answer {
	cmd.done = make(chan struct{})
	c.mu.Lock()
	l := c.lanes[fc]
	if l == nil {
		l = &lane{}
		c.lanes[fc] = l
	}
	if len(l.queue) >= maxQueue {
		c.mu.Unlock()
		return answer{err: problem.New(problem.Exhausted, "FC_BUSY", "too many commands wait for this fulfilment centre; try again in a moment")}
	}
	l.queue = append(l.queue, cmd)
	if !l.running {
		l.running = true
		go c.drain(fc, l)
	}
	c.mu.Unlock()
	select {
	case <-cmd.done:
		return cmd.answer
	case <-cmd.ctx.Done():
		return answer{err: cmd.ctx.Err()} // not its own answer: that may be being written
	}
}

// drain a lane until its queue is empty.
func (c *combiner) drain(fc string, l *lane) {
	for {
		c.mu.Lock()
		batch := l.take()
		if len(batch) == 0 {
			l.running = false
			delete(c.lanes, fc)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.run(fc, batch)
	}
}

// take a batch from the queue. Commands whose caller has gone are dropped: nobody will hear the answer.
func (l *lane) take() []*command {
	var batch []*command
	lines, taken := 0, 0
	for _, cmd := range l.queue {
		if len(batch) == maxBatch || (len(batch) > 0 && lines+len(cmd.lines) > maxBatchLines) {
			break
		}
		taken++
		if cmd.ctx.Err() != nil {
			cmd.finish(answer{err: cmd.ctx.Err()})
			continue
		}
		lines += max(len(cmd.lines), 1)
		batch = append(batch, cmd)
	}
	l.queue = slices.Delete(l.queue, 0, taken)
	return batch
}

func (cmd *command) finish(a answer) {
	cmd.answer = a
	close(cmd.done)
}

// run a batch, and answer everybody. Should it fail for a reason that may be one command's alone, each is run by itself.
func (c *combiner) run(fc string, batch []*command) {
	answers, err := c.transact(fc, batch)
	switch {
	case err == nil:
		c.batched(len(batch))
		for i, cmd := range batch {
			cmd.finish(answers[i])
		}
	case len(batch) > 1 && !retriedAlike(err):
		for _, cmd := range batch {
			c.run(fc, []*command{cmd})
		}
	default:
		for _, cmd := range batch {
			cmd.finish(answer{err: err})
		}
	}
}

// retriedAlike tells errors that would hit every command of the batch.
func retriedAlike(err error) bool {
	return errors.Is(err, sqldb.ErrAmbiguous) || problem.KindOf(err) == problem.Unavailable || errors.Is(err, context.DeadlineExceeded)
}

// transact runs a batch in one transaction and gives each command's answer.
func (c *combiner) transact(fc string, batch []*command) (answers []answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	locks := map[string]bool{}
	for range maxRestarts {
		err = c.db.InTx(ctx, func(tx sqldb.Tx) (err error) {
			answers, err = c.attempt(ctx, tx, fc, batch, locks)
			return err
		})
		more, again := errors.AsType[errNeedsStock](err)
		if !again && !errors.Is(err, errTwin) {
			return answers, err
		}
		for _, sku := range more.skus {
			locks[sku] = true
		}
	}
	return nil, fmt.Errorf("batch of %d at %s: %w", len(batch), fc, err)
}

// attempt reads the rows under lock (stock by SKU, then reservations by order and line), applies the commands, and
// writes what has changed.
func (c *combiner) attempt(ctx context.Context, tx sqldb.Tx, fc string, batch []*command, locks map[string]bool) ([]answer, error) {
	p := placeOf{region: c.region, fc: fc, now: c.now()}
	skus, orders, err := p.concerned(ctx, tx, batch, locks)
	if err != nil {
		return nil, err
	}
	read := func(b *book) error { return p.load(ctx, tx, b, skus, orders) }
	b := newBook(p.now)
	if err := read(b); err != nil {
		return nil, err
	}
	answers, err := applyAll(b, batch)
	if err == nil && len(b.short) > 0 {
		// Somebody found too little: begin again on a fresh book, with what has run out at hand.
		short := slices.Sorted(maps.Keys(b.short))
		b = newBook(p.now)
		b.swept = true
		if err := read(b); err != nil {
			return nil, err
		}
		if err := p.loadRunOut(ctx, tx, b, short, expireInline); err != nil {
			return nil, err
		}
		answers, err = applyAll(b, batch)
	}
	if err != nil {
		return nil, err
	}
	return answers, p.save(ctx, tx, b)
}

// applyAll commands in order. The error is that the batch must be begun anew.
func applyAll(b *book, batch []*command) ([]answer, error) {
	answers := make([]answer, len(batch))
	for i, cmd := range batch {
		answers[i] = cmd.apply(b)
		if more, again := errors.AsType[errNeedsStock](answers[i].err); again {
			return nil, more
		}
	}
	return answers, nil
}
