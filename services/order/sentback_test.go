package order

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

var backAgain = wayOf(orderv1.WayState_WAY_STATE_PICKED_UP, orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY, orderv1.WayState_WAY_STATE_EXCEPTION, orderv1.WayState_WAY_STATE_SENT_BACK)

// comesBack tells at once that a parcel has left, and that it could not be delivered and is with its FC again.
func (w world) comesBack(ctx context.Context, p placement, fc string) error {
	w.centers.become(fc, string(p.id), "shipped")
	_, err := w.RecordShipment(ctx, &orderv1.RecordShipmentRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), FcId: fc, ShipmentId: "s-" + fc, TrackingNumber: "CL-s-" + fc, ShippedAt: timestamppb.New(opened), Scans: backAgain,
	})
	w.Drain()
	return err
}

// unitsBack of an order on an FC's shelf.
func (w world) unitsBack(t reporter, p placement, fc string) (units int64) {
	for _, r := range w.get(t, p).GetReturns() {
		for _, n := range w.centers.back[fc+"/"+string(p.id)+"/"+r.GetReturnId()] {
			units += n
		}
	}
	return units
}

func TestAParcelSentBackIsRestockedAndRefundedOnceHoweverOftenItIsTold(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.timeFlies(t)
	must(t, w.create(p), w.pay(p), w.ship(p, "iad1", "s1"), w.comesBack(t.Context(), p, "sea1"))
	first := w.get(t, p)
	must(t, w.comesBack(t.Context(), p, "sea1"), w.comesBack(t.Context(), p, "sea1"))
	o := w.get(t, p)
	if len(o.GetReturns()) != 1 || !o.GetReturns()[0].GetDone() || len(o.GetEvents()) != len(first.GetEvents()) {
		t.Errorf("returns %v, %d events, %d before", o.GetReturns(), len(o.GetEvents()), len(first.GetEvents()))
	}
	if n := w.unitsBack(t, p, "sea1"); n != 2 {
		t.Errorf("%d units are on the shelf again", n)
	}
	if got := w.till.account(string(p.id)).refunded; got == 0 || got != o.GetReturns()[0].GetRefund().GetMinorUnits() {
		t.Errorf("refunded %d of %v", got, o.GetReturns()[0].GetRefund())
	}
	_, err := w.returnLines(p, "r1", &orderv1.ReturnLine{Line: 2, Quantity: 1})
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH") // it is not with the customer
}

func TestWhatTheCustomerReturnsIsNotSentBackOnceMore(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.timeFlies(t)
	must(t, w.create(p), w.pay(p), w.ship(p, "iad1", "s1"), w.ship(p, "sea1", "s-sea1"))
	w.centers.become("sea1", string(p.id), "shipped")
	_, err := w.returnLines(p, "r1", &orderv1.ReturnLine{Line: 2, Quantity: 1}) // refused at the door
	must(t, err, w.comesBack(t.Context(), p, "sea1"))
	o := w.get(t, p)
	if len(o.GetReturns()) != 2 || o.GetReturns()[1].GetLines()[0].GetLine() != 1 || len(o.GetReturns()[1].GetLines()) != 1 {
		t.Errorf("returns %v", o.GetReturns())
	}
	if n := w.unitsBack(t, p, "sea1"); n != 2 {
		t.Errorf("%d units are on the shelf again", n)
	}
	if o.GetParcels()[1].GetState() != returned {
		t.Errorf("the parcel is %v", o.GetParcels()[1].GetState())
	}
}

func TestAnOrderHasNotEndedWhileAParcelIsTakenBack(t *testing.T) {
	o := &orderv1.Order{
		Status: orderv1.Status_STATUS_SHIPPED, Parcels: []*orderv1.Parcel{{State: shipped, Way: orderv1.WayState_WAY_STATE_SENT_BACK}},
		Returns: []*orderv1.Return{{ReturnId: returnSentBack + "s1"}},
	}
	if Ended(o) {
		t.Error("its money is still to come")
	}
	if o.Returns[0].Done = true; !Ended(o) {
		t.Error("nothing more is to come")
	}
}
