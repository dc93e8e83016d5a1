package inventory

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// usualLanes of one process. Each has at most one transaction under way: one would leave the database idle while a commit
	// is written, and more than two make the batches smaller than they save (measured with 16 and 64 callers).
	usualLanes = 2
	// maxQueue commands wait in a lane; whoever comes then is told to come back. At the rate of one batch in some
	// milliseconds that is a wait of some hundred milliseconds.
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
	fc    string
	order ident.OrderID
	kind  kind
	lines []line // of a reserve, by number
	until time.Time
	// touches tells that the command moves units of rows that are there already, so that their stock has to be locked.
	touches bool
	// apply it to the FC's book. It may run several times, each on a fresh book: the last one counts.
	apply  func(b *book) answer
	answer answer
	done   chan struct{}
}

// kind of a command, for those that may be written without a look.
type kind int

const (
	// looking is any other.
	looking kind = iota
	// taking holds lines until a time.
	taking
	// selling turns all that an order holds here into sold stock.
	selling
)

// answer of a command.
type answer struct {
	// grant of a reserve; units that moved, of a release or shipment.
	grant grant
	units int64
	err   error
}

// combiner turns commands that come at the same time into one transaction. Every FC belongs to one lane, and a lane has
// at most one batch under way in this process: while it runs, commands queue, and the next batch takes all of them.
// Nobody waits for company: a command that is alone goes at once, by itself. Several cells may do this for one FC at
// once; then the rows' locks put their batches in order.
type combiner struct {
	db     *sqldb.DB
	region ident.Region
	now    func() time.Time
	// batched is told how many commands went into a transaction.
	batched func(commands int)
	// committed is called after a transaction that left events in the outbox.
	committed func()
	lanes     []lane
}

type lane struct {
	mu      sync.Mutex
	queue   []*command
	running bool
	memory  memory // of who drains it
}

// do a command, and wait until its transaction has ended. When ctx ends before it was begun, it has no effect.
func (c *combiner) do(cmd *command) answer {
	cmd.done = make(chan struct{})
	if !c.add(c.laneOf(cmd.fc), cmd) {
		return answer{err: problem.New(problem.Exhausted, "STOCK_BUSY", "too many commands wait for this fulfilment centre's stock; try again in a moment")}
	}
	select {
	case <-cmd.done:
		return cmd.answer
	case <-cmd.ctx.Done():
		return answer{err: cmd.ctx.Err()} // not its own answer: that may be being written
	}
}

func (c *combiner) laneOf(fc string) *lane {
	h := fnv.New32a()
	_, _ = h.Write([]byte(fc)) // it cannot fail
	return &c.lanes[h.Sum32()%uint32(len(c.lanes))]
}

// drain a lane until its queue is empty.
func (c *combiner) drain(l *lane) {
	for batch := l.take(); batch != nil; batch = l.take() {
		c.run(&l.memory, batch)
	}
}

// add a command; false when the queue is full. Whoever finds the lane at rest sets it going.
func (c *combiner) add(l *lane, cmd *command) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueue {
		return false
	}
	l.queue = append(l.queue, cmd)
	if !l.running {
		l.running = true
		go c.drain(l)
	}
	return true
}

// take a batch from the queue; nil when there is none, and the lane is at rest. Commands whose caller has gone are
// dropped: nobody will hear the answer.
func (l *lane) take() []*command {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.running = len(batch) > 0
	return batch
}

func (cmd *command) finish(a answer) {
	cmd.answer = a
	close(cmd.done)
}

// run a batch, and answer everybody. Should it fail for a reason that may be one command's alone, each is run by itself.
func (c *combiner) run(m *memory, batch []*command) {
	answers, err := c.transact(m, batch)
	switch {
	case err == nil:
		c.batched(len(batch))
		m.learn(batch, answers)
		for i, cmd := range batch {
			cmd.finish(answers[i])
		}
	case len(batch) > 1 && !retriedAlike(err):
		for _, cmd := range batch {
			c.run(m, []*command{cmd})
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
func (c *combiner) transact(m *memory, batch []*command) (answers []answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	if answers, done, err := c.tryBlindly(ctx, m, batch); done {
		return answers, err
	}
	locks := map[spot]bool{}
	for range maxRestarts {
		announced := false
		err = c.db.InTx(ctx, func(tx sqldb.Tx) (err error) {
			answers, announced, err = c.attempt(ctx, tx, batch, locks)
			return err
		})
		if err == nil && announced {
			c.committed()
		}
		more, again := errors.AsType[errNeedsStock](err)
		if !again && !errors.Is(err, errTwin) {
			return answers, err
		}
		for _, s := range more.spots {
			locks[s] = true
		}
	}
	return nil, fmt.Errorf("batch of %d: %w", len(batch), err)
}

// attempt reads the rows under lock (stock by FC and SKU, then reservations by FC, order and line), applies the commands,
// and writes what has changed. Tells whether events are on their way.
func (c *combiner) attempt(ctx context.Context, tx sqldb.Tx, batch []*command, locks map[spot]bool) (answers []answer, announced bool, err error) {
	d := desk{tx: tx, region: c.region, now: c.now()}
	stock, orders, err := d.concerned(ctx, batch, locks)
	if err != nil {
		return nil, false, err
	}
	b, err := d.load(ctx, stock, orders)
	if err != nil {
		return nil, false, err
	}
	answers, err = applyAll(b, batch)
	if err != nil {
		return nil, false, err
	}
	if short := b.short(); len(short) > 0 {
		// Somebody found too little: begin again on fresh books, with what has run out at hand.
		if b, err = d.load(ctx, stock, orders); err != nil {
			return nil, false, err
		}
		if err := d.loadRunOut(ctx, b, short, expireInline); err != nil {
			return nil, false, err
		}
		if answers, err = applyAll(b, batch); err != nil {
			return nil, false, err
		}
	}
	announced, err = d.save(ctx, b)
	return answers, announced, err
}

// applyAll commands in order. The error is that the batch must be begun anew.
func applyAll(b books, batch []*command) ([]answer, error) {
	answers := make([]answer, len(batch))
	for i, cmd := range batch {
		answers[i] = cmd.apply(b.at(cmd.fc))
		if more, again := errors.AsType[errNeedsStock](answers[i].err); again {
			return nil, more
		}
	}
	return answers, nil
}
