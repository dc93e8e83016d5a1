package order

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// faults before and after the effect of a call. The number counts the calls of that name from 1.
type faults struct {
	mu            sync.Mutex
	before, after func(call string, n int) error
	calls         map[string]int
}

func (f *faults) around(call string, effect func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	if f.before != nil {
		if err := f.before(call, f.calls[call]); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return err
	}
	if f.after != nil {
		return f.after(call, f.calls[call])
	}
	return nil
}

// till plays payments by what their proto promises.
type till struct {
	faults
	accounts map[string]*account
}

type account struct {
	held, captured, refunded int64
	captures, refunds        map[string]int64
	everything               bool
}

func newTill() *till { return &till{accounts: map[string]*account{}} }

// pay as a placement does, before it says so.
func (t *till) pay(order string, total int64, held bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accounts[order] != nil {
		return
	}
	a := &account{captures: map[string]int64{}, refunds: map[string]int64{}}
	if a.held = total; !held {
		a.held, a.captured = 0, total
	}
	t.accounts[order] = a
}

func (t *till) account(order string) account {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.accounts[order]
}

func (t *till) Capture(_ context.Context, q *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	return &paymentv1.CaptureResponse{}, t.around("Capture", func() error {
		a, amount := t.accounts[q.GetOrderId()], q.GetAmount().GetMinorUnits()
		if _, again := a.captures[q.GetCaptureId()]; again {
			return nil
		}
		if q.GetCaptureId() == "" || amount > a.held {
			return problem.New(problem.Precondition, "PAYMENT_DECLINED", fmt.Sprintf("%d of %d held", amount, a.held))
		}
		a.captures[q.GetCaptureId()] = amount
		if a.held, a.captured = a.held-amount, a.captured+amount; q.GetLast() {
			a.held = 0
		}
		return nil
	})
}

func (t *till) Refund(_ context.Context, q *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	return &paymentv1.RefundResponse{}, t.around("Refund", func() error {
		a, amount := t.accounts[q.GetOrderId()], q.GetAmount().GetMinorUnits()
		if q.GetRefundId() == "" {
			a.held, a.refunded, a.everything = 0, a.captured, true
			return nil
		}
		if _, again := a.refunds[q.GetRefundId()]; again {
			return nil
		}
		if a.refunded+amount > a.captured {
			return problem.New(problem.Precondition, "REFUNDS_TOO_MUCH", "less is left of what was captured")
		}
		a.refunds[q.GetRefundId()] = amount
		a.refunded += amount
		return nil
	})
}

// centers play every FC and its stock.
type centers struct {
	faults
	// states of parcels, by FC and order: requested, packed, shipped, canceled; none before the request has come.
	states map[string]string
	// back are units that came back, by FC, order and return; free tells whose stock was released.
	back map[string]map[string]int64
	free map[string]bool
}

func newCenters() *centers {
	return &centers{states: map[string]string{}, back: map[string]map[string]int64{}, free: map[string]bool{}}
}

// become packs a parcel or ships it, unless it was canceled.
func (c *centers) become(fc, order, state string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states[fc+"/"+order] == "canceled" {
		return false
	}
	c.states[fc+"/"+order] = state
	return true
}

func (c *centers) CancelShipment(_ context.Context, q *fulfillmentv1.CancelShipmentRequest) (*fulfillmentv1.CancelShipmentResponse, error) {
	resp := &fulfillmentv1.CancelShipmentResponse{}
	return resp, c.around("CancelShipment "+q.GetFcId(), func() error {
		at := q.GetFcId() + "/" + q.GetOrderId()
		if s := c.states[at]; s == "packed" || s == "shipped" {
			return nil
		}
		c.states[at], resp.Canceled = "canceled", true
		return nil
	})
}

func (c *centers) Release(_ context.Context, q *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error) {
	return &inventoryv1.ReleaseResponse{}, c.around("Release "+q.GetFcId(), func() error {
		c.free[q.GetFcId()+"/"+q.GetOrderId()] = true
		return nil
	})
}

func (c *centers) Return(_ context.Context, q *inventoryv1.ReturnRequest) (*inventoryv1.ReturnResponse, error) {
	return &inventoryv1.ReturnResponse{}, c.around("Return "+q.GetFcId(), func() error {
		at := q.GetFcId() + "/" + q.GetOrderId() + "/"
		units := map[string]int64{}
		for _, l := range q.GetLines() {
			units[l.GetSku()] = l.GetQuantity()
		}
		if known, again := c.back[at+q.GetReturnId()]; again {
			if !maps.Equal(known, units) {
				return problem.New(problem.Precondition, "RETURN_DIFFERS", "another return had this id")
			}
			return nil
		}
		c.back[at+q.GetReturnId()] = units
		return nil
	})
}

// released FCs of an order.
func (c *centers) released(order string) (fcs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fc := range []string{"iad1", "sea1"} {
		if c.free[fc+"/"+order] {
			fcs = append(fcs, fc)
		}
	}
	return fcs
}

// cameBack tells how many units of a SKU an FC took back of an order.
func (c *centers) cameBack(order, fc, sku string) (units int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range slices.Sorted(maps.Keys(c.back)) {
		if len(at) > len(fc)+len(order)+2 && at[:len(fc)+len(order)+2] == fc+"/"+order+"/" {
			units += c.back[at][sku]
		}
	}
	return units
}
