package order

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// of an FC, of money, of a scan: what details of events have in common.
type (
	ofFC     interface{ GetFcId() string }
	ofAmount interface{ GetAmount() *moneyv1.Money }
	ofScan   interface{ GetScan() *orderv1.Scan }
)

func showEvent(e Event) *orderv1.Event {
	out := &orderv1.Event{Seq: e.Seq, Kind: e.Kind, At: timestamppb.New(e.At)}
	var d proto.Message
	switch e.Kind {
	case kindShipped:
		d = &orderv1.Shipped{}
	case kindScanned:
		d = &orderv1.Scanned{}
	case kindCaptured:
		d = &orderv1.Captured{}
	case kindPacked:
		d = &orderv1.Packed{}
	case kindCanceled:
		d = &orderv1.Canceled{}
	case kindRefunded:
		d = &orderv1.Refunded{}
	case kindShortPicked:
		d = &orderv1.ShortPicked{}
	default:
		return out
	}
	if proto.Unmarshal(e.Detail, d) != nil {
		return out // project has refused it before
	}
	if of, ok := d.(ofFC); ok {
		out.FcId = of.GetFcId()
	}
	if of, ok := d.(ofAmount); ok {
		out.Amount = of.GetAmount()
	}
	if of, ok := d.(ofScan); ok {
		out.Scan = of.GetScan()
	}
	return out
}
