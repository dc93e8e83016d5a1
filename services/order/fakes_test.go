package order

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
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
	// spare is what FCs without a parcel have, by FC and SKU; held and sold what orders have of it, by FC and order.
	spare      map[string]map[string]int64
	held, sold map[string][]*inventoryv1.ReserveLine
	writtenOff map[string]bool
}

func newCenters() *centers {
	return &centers{
		states: map[string]string{}, back: map[string]map[string]int64{}, free: map[string]bool{}, spare: map[string]map[string]int64{},
		held: map[string][]*inventoryv1.ReserveLine{}, sold: map[string][]*inventoryv1.ReserveLine{}, writtenOff: map[string]bool{},
	}
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
		at := q.GetFcId() + "/" + q.GetOrderId()
		for _, l := range slices.Concat(c.held[at], c.sold[at]) {
			c.spare[q.GetFcId()][l.GetSku()] += l.GetQuantity()
		}
		delete(c.held, at)
		delete(c.sold, at)
		c.free[at] = true
		return nil
	})
}

// PlanOrder from the FCs that have some to spare, in the order of their ids.
func (c *centers) PlanOrder(_ context.Context, q *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	resp, short := &fulfillmentv1.PlanOrderResponse{}, &problemv1.OutOfStock{}
	err := c.around("PlanOrder", func() error {
		parcels := map[string]*fulfillmentv1.PlannedParcel{}
		for _, l := range q.GetLines() {
			missing := l.GetQuantity()
			for _, fc := range slices.Sorted(maps.Keys(c.spare)) {
				take := min(missing, c.spare[fc][l.GetSku()])
				if take == 0 || slices.Contains(q.GetExcludedFcs(), fc) {
					continue
				}
				if parcels[fc] == nil {
					parcels[fc] = &fulfillmentv1.PlannedParcel{FcId: fc, Region: "us-west-2"}
					resp.Parcels = append(resp.Parcels, parcels[fc])
				}
				parcels[fc].Lines = append(parcels[fc].Lines, &orderv1.ParcelLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: take})
				missing -= take
			}
			if missing > 0 {
				short.Shortages = append(short.Shortages, &problemv1.Shortage{Sku: l.GetSku(), Requested: l.GetQuantity(), Available: l.GetQuantity() - missing})
			}
		}
		return nil
	})
	if err == nil && len(short.GetShortages()) > 0 { // an answer like any other
		return nil, problem.New(problem.Precondition, "OUT_OF_STOCK", "there is not enough", short)
	}
	return resp, err
}

func (c *centers) Reserve(_ context.Context, q *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	resp := &inventoryv1.ReserveResponse{ExpiresAt: q.GetExpiresAt()}
	return resp, c.around("Reserve "+q.GetFcId(), func() error {
		at := q.GetFcId() + "/" + q.GetOrderId()
		if c.free[at] {
			return problem.New(problem.Precondition, "HOLD_RELEASED", "it was given back")
		}
		if known := slices.Concat(c.held[at], c.sold[at]); len(known) > 0 {
			resp.Lines = known
			return nil
		}
		for _, l := range q.GetLines() {
			take := min(l.GetQuantity(), c.spare[q.GetFcId()][l.GetSku()])
			if take > 0 {
				c.spare[q.GetFcId()][l.GetSku()] -= take
				resp.Lines = append(resp.Lines, &inventoryv1.ReserveLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: take})
			}
		}
		if len(resp.GetLines()) == 0 {
			return problem.New(problem.Precondition, "OUT_OF_STOCK", "there is none")
		}
		c.held[at] = resp.GetLines()
		return nil
	})
}

func (c *centers) Commit(_ context.Context, q *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	return &inventoryv1.CommitResponse{}, c.around("Commit "+q.GetFcId(), func() error {
		at := q.GetFcId() + "/" + q.GetOrderId()
		if len(c.held[at])+len(c.sold[at]) == 0 {
			return problem.New(problem.Precondition, "HOLD_RELEASED", "nothing is held")
		}
		c.sold[at] = append(c.sold[at], c.held[at]...)
		delete(c.held, at)
		return nil
	})
}

// writeOff what an FC that had some to spare does not find, once.
func (c *centers) writeOff(order string, pick *orderv1.ShortPick) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writtenOff[order+pick.GetShortPickId()] {
		return
	}
	c.writtenOff[order+pick.GetShortPickId()] = true
	for _, l := range c.sold[pick.GetFcId()+"/"+order] {
		for _, missing := range pick.GetLines() {
			if missing.GetLine() == l.GetLine() {
				l.Quantity -= missing.GetQuantity()
			}
		}
	}
}

// soldTo an order by FCs that had some to spare: units by FC and line.
func (c *centers) soldTo(order string) map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	units := map[string]int64{}
	for fc := range c.spare {
		for _, l := range c.sold[fc+"/"+order] {
			if l.GetQuantity() == 0 {
				continue
			}
			units[fmt.Sprint(fc, "/", l.GetLine())] += l.GetQuantity()
		}
	}
	return units
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
