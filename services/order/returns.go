package order

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// returnWindow is how long after it has left a unit may come back. The law of the EU gives fourteen days after delivery
// (Directive 2011/83/EU, article 9); thirty after dispatch leave two weeks for the way there, and are one number for
// every country.
const returnWindow = 30 * 24 * time.Hour

// returning takes units back:
//
//	restock at each FC they came from → record → refund → record_refund
//
// What may come back, from where, and what is given back for it is decided with the "return_requested" event, under the
// order's lock; from then on others cannot return the same units. A parcel that its carrier sends back is such a return,
// which nobody asks for (sentback.go).
func (s *Service) returning() *saga.Definition {
	return forward(kindReturning, func() *orderv1.ReturnState { return &orderv1.ReturnState{} },
		step("restock", s.restockReturned), step("record", s.recordReturned), step("refund", s.refundReturned), step("record_refund", s.recordReturnRefund))
}

// refundOf a return: its id at the payment.
func refundOf(r *orderv1.Return) string { return "return-" + r.GetReturnId() }

// returnItems of an order, once a return id.
func (s *Service) returnItems(ctx context.Context, customer ident.CustomerID, id ident.OrderID, returnID string, lines []*orderv1.ReturnLine) (*orderv1.ReturnItemsResponse, error) {
	now := s.deps.Clock.Now()
	out, err := s.decide(ctx, customer, id, func(p *projection, _ causes) (decision, error) {
		if known := p.returnOf(returnID); known != nil {
			if !maps.Equal(unitsOf(known.GetLines()), unitsOf(lines)) {
				return decision{}, problem.New(problem.Precondition, "RETURN_ID_REUSED", "this return id was used for other lines")
			}
			return decision{}, nil
		}
		r := &orderv1.Return{ReturnId: returnID}
		for _, l := range lines {
			from, err := p.takeFrom(l, now)
			if err != nil {
				return decision{}, err
			}
			r.Lines = append(r.Lines, from...)
		}
		var d decision
		p.send(&d, customer, r)
		return d, nil
	})
	if err != nil {
		return nil, err
	}
	late := problem.New(problem.Aborted, "RETURN_IN_PROGRESS", "the return is under way; ask again what became of it")
	if len(out.begun) > 0 {
		if err := s.await(ctx, out.begun, late); err != nil {
			return nil, err
		}
	}
	o, err := s.get(ctx, customer, id)
	if err != nil {
		return nil, err
	}
	for _, r := range o.GetReturns() {
		if r.GetReturnId() == returnID && r.GetDone() {
			return &orderv1.ReturnItemsResponse{Return: r, Order: o}, nil
		}
	}
	return nil, late
}

// send units back with a decision: what is given back for them is decided with it.
func (p *projection) send(d *decision, customer ident.CustomerID, r *orderv1.Return) {
	order := p.agreed.GetOrderId()
	r.Refund = p.amount(p.worth(r.GetLines())).Proto()
	d.facts = append(d.facts, fact{kindReturnRequested, causeReturn + r.GetReturnId(), &orderv1.ReturnRequested{Return: r}})
	d.begins = append(d.begins, begun{kindReturning, order + "/return/" + r.GetReturnId(), &orderv1.ReturnState{OrderId: order, CustomerId: string(customer), Return: r}})
}

// unitsOf lines by number.
func unitsOf[L interface {
	GetLine() int32
	GetQuantity() int64
}](lines []L) map[int32]int64 {
	units := map[int32]int64{}
	for _, l := range lines {
		units[l.GetLine()] += l.GetQuantity()
	}
	return units
}

// takeFrom the parcels that brought a line, in their order: as much of each as is still with the customer.
func (p *projection) takeFrom(l *orderv1.ReturnLine, now time.Time) ([]*orderv1.ReturnedLine, error) {
	var from []*orderv1.ReturnedLine
	missing, expired := l.GetQuantity(), int64(0)
	for _, parcel := range p.parcels {
		for _, pl := range parcel.GetLines() {
			if pl.GetLine() != l.GetLine() || !hasLeft(parcel.GetState()) {
				continue
			}
			units := min(missing, pl.GetQuantity()-p.returning(parcel.GetFcId(), l.GetLine()))
			if units <= 0 {
				continue
			}
			if now.Sub(parcel.GetShippedAt().AsTime()) > returnWindow {
				expired += units
				continue
			}
			missing -= units
			from = append(from, &orderv1.ReturnedLine{
				FcId: parcel.GetFcId(), Region: parcel.GetRegion(), Line: l.GetLine(), Sku: pl.GetSku(), Quantity: units, Reason: l.GetReason(),
			})
		}
	}
	switch {
	case missing == 0:
		return from, nil
	case missing <= expired:
		return nil, problem.New(problem.Precondition, "RETURN_WINDOW_CLOSED", "what left more than 30 days ago cannot be returned any more")
	default:
		return nil, problem.New(problem.Precondition, "RETURNS_TOO_MUCH", "more is returned than has left and is still with the customer")
	}
}

// returning is how many units of a line an FC has got back, or is about to.
func (p *projection) returning(fc string, line int32) (units int64) {
	for _, r := range p.returns {
		for _, l := range r.GetLines() {
			if l.GetFcId() == fc && l.GetLine() == line {
				units += l.GetQuantity()
			}
		}
	}
	return units
}

// worth of lines that are returned now: delivery is not part of it.
func (p *projection) worth(lines []*orderv1.ReturnedLine) int64 {
	units := make([]*orderv1.ParcelLine, len(lines))
	for i, l := range lines {
		units[i] = &orderv1.ParcelLine{Line: l.GetLine(), Quantity: l.GetQuantity()}
	}
	return p.bear(units, p.given())
}

func (s *Service) restockReturned(ctx context.Context, r *orderv1.ReturnState) error {
	type place struct{ region, fc string }
	units := map[place]map[string]int64{}
	for _, l := range r.GetReturn().GetLines() {
		at := place{l.GetRegion(), l.GetFcId()}
		if units[at] == nil {
			units[at] = map[string]int64{}
		}
		units[at][l.GetSku()] += l.GetQuantity()
	}
	for at, skus := range units {
		stock, err := s.stockIn(at.region)
		if err != nil {
			return err
		}
		req := &inventoryv1.ReturnRequest{FcId: at.fc, OrderId: r.GetOrderId(), ReturnId: r.GetReturn().GetReturnId()}
		for sku, n := range skus {
			req.Lines = append(req.Lines, &inventoryv1.ReturnLine{Sku: sku, Quantity: n})
		}
		slices.SortFunc(req.Lines, func(a, b *inventoryv1.ReturnLine) int { return cmp.Compare(a.GetSku(), b.GetSku()) })
		if _, err := stock.Return(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) recordReturned(ctx context.Context, r *orderv1.ReturnState) error {
	id := r.GetReturn().GetReturnId()
	return s.record(ctx, r.GetCustomerId(), r.GetOrderId(), fact{kindReturned, causeReturned + id, &orderv1.Returned{ReturnId: id}})
}

// refundReturned units. Where the parcel's money has not been taken yet, this is refused and tried again until it is.
func (s *Service) refundReturned(ctx context.Context, r *orderv1.ReturnState) error {
	if r.GetReturn().GetRefund().GetMinorUnits() == 0 {
		return nil
	}
	_, err := s.deps.Payments.Refund(ctx, &paymentv1.RefundRequest{
		CustomerId: r.GetCustomerId(), OrderId: r.GetOrderId(), RefundId: refundOf(r.GetReturn()), Amount: r.GetReturn().GetRefund(),
	})
	return err
}

func (s *Service) recordReturnRefund(ctx context.Context, r *orderv1.ReturnState) error {
	d := &orderv1.Refunded{RefundId: refundOf(r.GetReturn()), Amount: r.GetReturn().GetRefund()}
	return s.record(ctx, r.GetCustomerId(), r.GetOrderId(), fact{kindRefunded, causeRefund + d.GetRefundId(), d})
}

// record facts that follow from what was decided before.
func (s *Service) record(ctx context.Context, customer, order string, facts ...fact) error {
	_, err := s.decide(ctx, ident.CustomerID(customer), ident.OrderID(order), func(*projection, causes) (decision, error) {
		return decision{facts: facts}, nil
	})
	return err
}
