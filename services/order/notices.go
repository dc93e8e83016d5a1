package order

import (
	"google.golang.org/protobuf/proto"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
)

// noticesOf events that are appended: what the order's customer is told, in the same transaction.
func noticesOf(customer ident.CustomerID, id ident.OrderID, events []Event) (all []notice.Notice, err error) {
	for _, e := range events {
		detail, err := noticeOf(e)
		if err != nil {
			return nil, err
		}
		if detail == nil {
			continue
		}
		detail.OrderId = string(id)
		all = append(all, notice.Notice{Customer: customer, Cause: "order/" + string(id) + "/" + e.Cause, Detail: detail})
	}
	return all, nil
}

// noticeOf an event; nil where there is nothing to tell.
func noticeOf(e Event) (*notificationv1.Notice, error) {
	switch e.Kind {
	case kindPaid:
		return &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_PLACED}, nil
	case kindShipped:
		var d orderv1.Shipped
		err := proto.Unmarshal(e.Detail, &d)
		return &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_SHIPPED, Carrier: d.GetCarrier(), TrackingNumber: d.GetTrackingNumber()}, err
	case kindScanned:
		var d orderv1.Scanned
		err := proto.Unmarshal(e.Detail, &d)
		var kind notificationv1.Kind
		switch d.GetScan().GetState() {
		case orderv1.WayState_WAY_STATE_DELIVERED:
			kind = notificationv1.Kind_KIND_ORDER_DELIVERED
		case orderv1.WayState_WAY_STATE_EXCEPTION, orderv1.WayState_WAY_STATE_SENT_BACK:
			kind = notificationv1.Kind_KIND_DELIVERY_EXCEPTION
		default:
			return nil, err
		}
		return &notificationv1.Notice{Kind: kind, Place: d.GetScan().GetPlace()}, err
	case kindRefunded:
		var d orderv1.Refunded
		if err := proto.Unmarshal(e.Detail, &d); err != nil || d.GetAmount().GetMinorUnits() == 0 {
			return nil, err // what was held is let go of: nothing comes back that had been taken
		}
		return &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_REFUNDED, Amount: d.GetAmount()}, nil
	}
	return nil, nil
}
