package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/services/inventory"
)

// counterOf stock in another cell, whose calls wait until they are let through. Orders whose number is odd are refused.
type counterOf struct {
	stockCommands
	let  chan struct{}
	aged bool  // it knows no batches
	down error // of every call

	mu    sync.Mutex
	calls []int // commands of each
}

func newCounter() *counterOf { return &counterOf{let: make(chan struct{})} }

func (c *counterOf) enter(commands int) error {
	c.mu.Lock()
	c.calls = append(c.calls, commands)
	c.mu.Unlock()
	<-c.let
	return c.down
}

func (c *counterOf) answer(order string) error {
	var n int
	if _, err := fmt.Sscanf(order, "order-%d", &n); err != nil || n%2 == 1 {
		return problem.New(problem.Precondition, "OUT_OF_STOCK", "there is nothing for "+order, &problemv1.FieldViolations{Violations: []*problemv1.FieldViolation{{Field: order}}})
	}
	return nil
}

func (c *counterOf) Reserve(_ context.Context, req *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	if err := errors.Join(c.enter(1), c.answer(req.GetOrderId())); err != nil {
		return nil, err
	}
	return &inventoryv1.ReserveResponse{Lines: []*inventoryv1.ReserveLine{{Sku: req.GetOrderId()}}}, nil
}

func (c *counterOf) Commit(_ context.Context, req *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	if err := errors.Join(c.enter(1), c.answer(req.GetOrderId())); err != nil {
		return nil, err
	}
	return &inventoryv1.CommitResponse{}, nil
}

func (c *counterOf) BatchCommand(_ context.Context, req *inventoryv1.BatchCommandRequest) (*inventoryv1.BatchCommandResponse, error) {
	if c.aged {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("404"))
	}
	if err := c.enter(len(req.GetCommands())); err != nil {
		return nil, err
	}
	resp := &inventoryv1.BatchCommandResponse{}
	for _, cmd := range req.GetCommands() {
		out := &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Commit{Commit: &inventoryv1.CommitResponse{}}}
		order := cmd.GetCommit().GetOrderId()
		if r := cmd.GetReserve(); r != nil {
			order = r.GetOrderId()
			out.Outcome = &inventoryv1.Outcome_Reserve{Reserve: &inventoryv1.ReserveResponse{Lines: []*inventoryv1.ReserveLine{{Sku: order}}}}
		}
		if err := c.answer(order); err != nil {
			out.Outcome = &inventoryv1.Outcome_Refusal{Refusal: problem.Encode(err)}
		}
		resp.Outcomes = append(resp.Outcomes, out)
	}
	return resp, nil
}

// asker is an order that wants something.
type asker struct {
	order string
	err   error
	ended bool
}

// begin what an order wants: to hold, or to buy. What it is answered must be its own.
func (t *together) begin(ctx context.Context, n int) *asker {
	a := &asker{order: fmt.Sprint("order-", n)}
	go func() {
		defer func() { a.ended = true }()
		if n%4 < 2 {
			_, a.err = t.Commit(ctx, &inventoryv1.CommitRequest{OrderId: a.order})
			return
		}
		var resp *inventoryv1.ReserveResponse
		if resp, a.err = t.Reserve(ctx, &inventoryv1.ReserveRequest{OrderId: a.order, Lines: []*inventoryv1.ReserveLine{{}}}); a.err == nil && resp.GetLines()[0].GetSku() != a.order {
			a.err = fmt.Errorf("got the answer %v", resp)
		}
	}()
	return a
}

// check that an order has heard what is its own.
func (a *asker) check(t *testing.T, n int) {
	t.Helper()
	if !a.ended {
		t.Errorf("%s waits", a.order)
	}
	if n%2 == 0 {
		if a.err != nil {
			t.Errorf("%s: %v", a.order, a.err)
		}
		return
	}
	if d, _ := problem.Detail[*problemv1.FieldViolations](a.err); !problem.Is(a.err, "OUT_OF_STOCK") || len(d.GetViolations()) != 1 || d.GetViolations()[0].GetField() != a.order {
		t.Errorf("%s: got %v, want that it is out of stock", a.order, a.err)
	}
}

func TestOrdersOfTheSameMomentShareACallAndEachHearsItsOwn(t *testing.T) {
	for _, aged := range []bool{false, true} {
		t.Run(fmt.Sprintf("of an older cell: %t", aged), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCounter()
				c.aged = aged
				shared := &together{stockPeer: c, atOnce: 1}
				var all []*asker
				for n := range 9 {
					all = append(all, shared.begin(t.Context(), n))
					synctest.Wait()
				}
				if !slices.Equal(c.calls, []int{1}) {
					t.Fatalf("while the first is under way there are calls of %v", c.calls)
				}
				close(c.let)
				synctest.Wait()
				want := []int{1, 8}
				if aged {
					want = slices.Repeat([]int{1}, 9)
				}
				if !slices.Equal(c.calls, want) {
					t.Errorf("calls of %v commands, want %v", c.calls, want)
				}
				for n, a := range all {
					a.check(t, n)
				}
				last := shared.begin(t.Context(), 10)
				synctest.Wait()
				last.check(t, 10)
				if got := c.calls[len(want):]; !slices.Equal(got, []int{1}) {
					t.Errorf("then who is alone is in calls of %v", got)
				}
			})
		})
	}
}

func TestWhatACallFailsOfAllOfItHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		shared := &together{stockPeer: c, atOnce: 1}
		c.down = away
		all := []*asker{shared.begin(t.Context(), 0)}
		synctest.Wait()
		all = append(all, shared.begin(t.Context(), 2), shared.begin(t.Context(), 4))
		synctest.Wait()
		close(c.let)
		synctest.Wait()
		for _, a := range all {
			if !a.ended || !problem.Is(a.err, "AWAY") {
				t.Errorf("%s: got %v", a.order, a.err)
			}
		}
	})
}

func TestWhoLeavesIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		shared := &together{stockPeer: c, atOnce: 1}
		first := shared.begin(t.Context(), 0)
		synctest.Wait()
		leaving, leave := context.WithCancel(t.Context())
		gone := shared.begin(leaving, 2)
		stays := shared.begin(t.Context(), 4)
		synctest.Wait()
		leave()
		synctest.Wait()
		if !gone.ended || !errors.Is(gone.err, context.Canceled) {
			t.Errorf("who left got %v", gone.err)
		}
		close(c.let)
		synctest.Wait()
		first.check(t, 0)
		stays.check(t, 4)
		if !slices.Equal(c.calls, []int{1, 1}) {
			t.Errorf("calls of %v commands", c.calls)
		}
	})
}

func TestNeitherACallNorAQueueGrowsWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		shared := &together{stockPeer: c, atOnce: 1}
		for n := range maxTogether + 1 {
			shared.begin(t.Context(), 2*n)
			if n == 0 {
				synctest.Wait() // it is under way
			}
		}
		synctest.Wait()
		over := shared.begin(t.Context(), 0)
		synctest.Wait()
		if !problem.Is(over.err, "STOCK_BUSY") || problem.KindOf(over.err) != problem.Exhausted {
			t.Errorf("one too many got %v", over.err)
		}
		close(c.let)
		synctest.Wait()
		sum := 0
		for _, n := range c.calls {
			if sum += n; n > inventory.MaxCommands {
				t.Errorf("a call of %d commands", n)
			}
		}
		if sum != maxTogether+1 {
			t.Errorf("%d commands were done, want %d", sum, maxTogether+1)
		}
		large, c2 := &inventoryv1.ReserveRequest{OrderId: "order-0", Lines: slices.Repeat([]*inventoryv1.ReserveLine{{}}, maxTogetherLines/2+1)}, newCounter()
		shared = &together{stockPeer: c2, atOnce: 1}
		for range 3 {
			go func() { _, _ = shared.Reserve(t.Context(), large) }()
			synctest.Wait()
		}
		close(c2.let)
		synctest.Wait()
		if !slices.Equal(c2.calls, []int{1, 1, 1}) {
			t.Errorf("large commands went in calls of %v", c2.calls)
		}
	})
}
