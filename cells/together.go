package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"connectrpc.com/connect"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/services/inventory"
)

const (
	// maxTogether commands wait for one cell; whoever comes then is told to come back.
	maxTogether = 4096
	// maxTogetherLines of reservations in one call, which is far below what a body may have.
	maxTogetherLines = 2000
)

// stockPeer is another cell that keeps stock.
type stockPeer interface {
	stockCommands
	BatchCommand(context.Context, *inventoryv1.BatchCommandRequest) (*inventoryv1.BatchCommandResponse, error)
}

// together asks another cell to hold and to sell. Orders that are placed at the same time share a call: while as many are
// under way as may be, those that come wait for the end of one, and go together. Nobody waits for company: who is alone asks
// by itself, as ever.
type together struct {
	stockPeer
	// atOnce calls may be under way.
	atOnce int

	mu       sync.Mutex
	waiting  []*waiter
	underWay int
}

// waiter for the outcome of a command.
type waiter struct {
	ctx     context.Context
	cmd     *inventoryv1.Command
	done    chan struct{}
	outcome *inventoryv1.Outcome
	err     error
}

// Reserve implements stockCommands.
func (t *together) Reserve(ctx context.Context, req *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	out, err := t.do(ctx, &inventoryv1.Command{Command: &inventoryv1.Command_Reserve{Reserve: req}})
	if err == nil && out.GetReserve() == nil {
		err = errors.New("a reservation was answered by something else")
	}
	return out.GetReserve(), err
}

// Commit implements stockCommands.
func (t *together) Commit(ctx context.Context, req *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	out, err := t.do(ctx, &inventoryv1.Command{Command: &inventoryv1.Command_Commit{Commit: req}})
	if err == nil && out.GetCommit() == nil {
		err = errors.New("a sale was answered by something else")
	}
	return out.GetCommit(), err
}

// do a command: at once, or with those that wait.
func (t *together) do(ctx context.Context, cmd *inventoryv1.Command) (*inventoryv1.Outcome, error) {
	t.mu.Lock()
	if t.underWay < t.atOnce {
		t.underWay++
		t.mu.Unlock()
		defer t.leave()
		return t.one(ctx, cmd)
	}
	if len(t.waiting) >= maxTogether {
		t.mu.Unlock()
		return nil, problem.New(problem.Exhausted, "STOCK_BUSY", "too many commands wait for the cell that keeps the fulfilment centre's stock; try again in a moment")
	}
	w := &waiter{ctx: ctx, cmd: cmd, done: make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.done:
		return w.outcome, w.err
	case <-ctx.Done():
		return nil, ctx.Err() // it may still be done
	}
}

// leave the place of a call that has ended to those who wait.
func (t *together) leave() {
	if batch := t.take(); len(batch) > 0 {
		go t.drain(batch)
	}
}

// drain what waits, from a first batch on.
func (t *together) drain(batch []*waiter) {
	for ; len(batch) > 0; batch = t.take() {
		t.ask(batch)
		for _, w := range batch {
			close(w.done)
		}
	}
}

// take those who wait, as many as one call is for; those who have left are dropped. None ends the call's place.
func (t *together) take() (batch []*waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken, lines := 0, 0
	for _, w := range t.waiting {
		n := len(w.cmd.GetReserve().GetLines())
		if len(batch) == inventory.MaxCommands || (len(batch) > 0 && lines+n > maxTogetherLines) {
			break
		}
		taken++
		if w.ctx.Err() == nil {
			batch, lines = append(batch, w), lines+n
		}
	}
	t.waiting = slices.Delete(t.waiting, 0, taken)
	if len(batch) == 0 {
		t.underWay--
	}
	return batch
}

// ask for a batch, and note what each is answered. A cell of an older release knows no batches: it is asked for each by
// itself, all at once.
func (t *together) ask(batch []*waiter) {
	if len(batch) == 1 {
		batch[0].outcome, batch[0].err = t.one(batch[0].ctx, batch[0].cmd)
		return
	}
	// Within the time of one try: whoever has less leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), keeperTimeout)
	defer cancel()
	req := &inventoryv1.BatchCommandRequest{}
	for _, w := range batch {
		req.Commands = append(req.Commands, w.cmd)
	}
	resp, err := t.BatchCommand(ctx, req)
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		var wg sync.WaitGroup
		for _, w := range batch {
			wg.Go(func() { w.outcome, w.err = t.one(w.ctx, w.cmd) })
		}
		wg.Wait()
		return
	}
	if err == nil && len(resp.GetOutcomes()) != len(batch) {
		err = fmt.Errorf("%d commands have %d outcomes", len(batch), len(resp.GetOutcomes()))
	}
	for i, w := range batch {
		if w.err = err; err != nil {
			continue
		}
		if w.outcome = resp.GetOutcomes()[i]; w.outcome.GetRefusal() != nil {
			w.err = problem.Decode(w.outcome.GetRefusal())
		}
	}
}

// one command by itself.
func (t *together) one(ctx context.Context, cmd *inventoryv1.Command) (*inventoryv1.Outcome, error) {
	switch c := cmd.GetCommand().(type) {
	case *inventoryv1.Command_Reserve:
		resp, err := t.stockPeer.Reserve(ctx, c.Reserve)
		return &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Reserve{Reserve: resp}}, err
	case *inventoryv1.Command_Commit:
		resp, err := t.stockPeer.Commit(ctx, c.Commit)
		return &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Commit{Commit: resp}}, err
	default:
		return nil, fmt.Errorf("a command of type %T", c)
	}
}
