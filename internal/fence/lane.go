package fence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// usualLanes of a ring. Each has one transaction under way: with one the database would rest while a commit is written, and
	// more make the groups smaller than they save.
	usualLanes = 2
	// maxWaiting joins in a lane; whoever comes then is told to come back. At a group in some milliseconds that is a wait
	// of a few hundred.
	maxWaiting = 4096
	// maxGroup joins share a transaction: it stays short.
	maxGroup = 256
	// groupTimeout bounds one transaction. It is not the callers' deadline: theirs differ, and one who leaves must not
	// spoil it for the others.
	groupTimeout = 10 * time.Second
	// maxApart is how many members of groups that failed are tried at once, each by itself: they must leave the lanes some
	// connections.
	maxApart = 2
)

// join is one caller's parts.
type join struct {
	ctx      context.Context
	customer ident.CustomerID
	parts    []Part
	done     chan error // of one
}

// lane of the joins of some slots of a ring. While a group is written the next one gathers; nobody waits for company.
type lane struct {
	mu      sync.Mutex
	queue   []*join
	running bool
}

// laneOf a customer.
func (f *SlotFence) laneOf(id ident.CustomerID) *lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	ring := id.Region()
	if f.lanes[ring] == nil {
		f.lanes[ring] = make([]*lane, f.deps.Lanes)
		for i := range f.lanes[ring] {
			f.lanes[ring][i] = &lane{}
		}
	}
	return f.lanes[ring][int(id.Slot())%f.deps.Lanes]
}

// Join implements Fence.
func (f *SlotFence) Join(ctx context.Context, id ident.CustomerID, parts ...Part) error {
	region, err := homeOf(id)
	if err != nil {
		return err
	}
	l := f.laneOf(id)
	j := &join{ctx: ctx, customer: id, parts: parts, done: make(chan error, 1)}
	l.mu.Lock()
	if len(l.queue) >= maxWaiting {
		l.mu.Unlock()
		return problem.New(problem.Unavailable, "CELL_BUSY", "too much is waiting to be written; try again in a moment")
	}
	l.queue = append(l.queue, j)
	idle := !l.running
	l.running = true
	l.mu.Unlock()
	if idle {
		go f.drain(l, region)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may still be written
	}
}

func (f *SlotFence) drain(l *lane, ring ident.Region) {
	for group := l.take(); group != nil; group = l.take() {
		f.write(ring, group)
	}
}

// take a group; nil when nobody waits, and the lane is at rest. Those whose callers have gone are dropped.
func (l *lane) take() []*join {
	l.mu.Lock()
	defer l.mu.Unlock()
	var group []*join
	taken := 0
	for _, j := range l.queue {
		if len(group) == maxGroup {
			break
		}
		taken++
		if j.ctx.Err() == nil {
			group = append(group, j)
		}
	}
	l.queue = slices.Delete(l.queue, 0, taken)
	l.running = len(group) > 0
	return group
}

// write a group in one transaction. Should it fail for a reason that may be one member's alone, each is tried by itself,
// beside the lane, which goes on: whoever has to wait for somebody's lock does so alone.
func (f *SlotFence) write(ring ident.Region, group []*join) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	err := f.send(ctx, ring, group, true)
	if err == nil || alike(err) || (len(group) == 1 && !sqldb.LockTimedOut(err)) {
		for _, j := range group {
			j.done <- err
		}
		return
	}
	for _, j := range group {
		go f.writeAlone(ring, j)
	}
}

func (f *SlotFence) writeAlone(ring ident.Region, j *join) {
	select {
	case f.apart <- struct{}{}:
		defer func() { <-f.apart }()
	case <-j.ctx.Done(): // nobody waits any more
		j.done <- j.ctx.Err()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	j.done <- f.send(ctx, ring, []*join{j}, false)
}

// alike tells errors that would hit every member of a group.
func alike(err error) bool {
	return errors.Is(err, sqldb.ErrAmbiguous) || problem.KindOf(err) == problem.Unavailable || errors.Is(err, context.DeadlineExceeded)
}

// send a group behind the guard of all its slots; in a hurry with a limit to the wait for locks, because one row that
// somebody sits on must not keep everybody.
func (f *SlotFence) send(ctx context.Context, ring ident.Region, group []*join, hurry bool) error {
	slots, ids := make([]int16, len(group)), make([]string, len(group))
	distinct := make(map[ident.Slot]bool, len(group))
	var parts []Part
	for i, j := range group {
		slots[i], ids[i] = int16(j.customer.Slot()), string(j.customer)
		distinct[j.customer.Slot()] = true
		parts = append(parts, j.parts...)
	}
	var b sqldb.Batch
	if hurry {
		b.Queue(stmtHurry, nil)
	}
	b.Queue(stmtGuardAll, nil, string(ring), slots, f.deps.Cell, len(distinct), strings.Join(ids, ","))
	Queue(&b, ring, parts)
	err := f.deps.DB.Send(ctx, &b)
	if len(group) > 1 || !refusedBy(stmtGuardAll, err) {
		return err
	}
	var own sqldb.Batch
	Queue(&own, ring, parts)
	return f.sendLocked(ctx, group[0].customer, &own)
}
