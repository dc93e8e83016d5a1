package cells

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1/paymentv1connect"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1/recoveryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

// wrongCell of an error as the header would have it, or its text.
func wrongCell(err error) string {
	if d, ok := problem.Detail[*problemv1.WrongCell](err); ok {
		return "owner=" + d.GetOwner() + ";"
	}
	return err.Error()
}

func orderID() string { return string(ident.NewOrder("use1")) }

// order is a new one, placed and paid.
func (s *stale) order() *orderv1.Order {
	s.Helper()
	var quote checkoutv1.QuoteResponse
	var placed checkoutv1.PlaceOrderResponse
	s.ask(cartv1connect.CartServiceAddItemProcedure, s.token, nil, &cartv1.AddItemRequest{Sku: "kettle", Quantity: 1}, nil)
	s.ask(checkoutv1connect.CheckoutServiceQuoteProcedure, s.token, nil, quoteRequest, &quote)
	resp := s.ask(checkoutv1connect.CheckoutServicePlaceOrderProcedure, s.token, http.Header{"Idempotency-Key": {ident.NewToken()}},
		&checkoutv1.PlaceOrderRequest{QuoteToken: quote.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: "tok_visa"}}, &placed)
	if placed.GetOrder().GetStatus() != orderv1.Status_STATUS_PAID {
		s.Fatalf("an order cannot be placed: %s", resp.Status)
	}
	return placed.GetOrder()
}

// working is what a cell does for customers behind the shop: what follows an order, what other services and operators ask,
// what events tell, and what it sweeps.
func (s *stale) working() []moved {
	all := append(s.following(), s.ordering()...)
	all = append(all, s.paying()...)
	all = append(all, s.reviewing()...)
	return append(all, s.sweeping()...)
}

// following an order: one is canceled, one is shipped and comes back.
func (s *stale) following() []moved {
	var o *orderv1.Order
	order := func() { o = s.order() }
	shipped := func(shipment string) *fulfillmentv1.ShipmentShipped {
		return &fulfillmentv1.ShipmentShipped{CustomerId: s.id, OrderId: o.GetOrderId(), FcId: "iad1", ShipmentId: shipment, TrackingNumber: "T1", ShippedAt: timestamppb.Now()}
	}
	missed := func(pick string) *fulfillmentv1.ShipmentShort {
		lines := []*orderv1.ParcelLine{{Line: 1, Sku: "kettle", Quantity: 1}}
		return &fulfillmentv1.ShipmentShort{CustomerId: s.id, OrderId: o.GetOrderId(), FcId: "iad1", ShipmentId: "s1", ShortPicks: []*orderv1.ShortPick{{ShortPickId: pick, Lines: lines}}}
	}
	drain := func() { s.cell.services.order.Drain() }
	return []moved{
		{procedure: orderv1connect.OrderServiceCancelOrderProcedure, token: s.session, before: order,
			req: func() proto.Message { return &orderv1.CancelOrderRequest{OrderId: o.GetOrderId(), Reason: "mistake"} }},
		{name: "the sweep of what follows orders", silent: true, before: func() {
			s.sql("UPDATE sagas SET status = 'RUNNING' WHERE kind = 'cancellation'")
			s.rouse()
		}, do: func() error { _, err := s.cell.services.order.Sweep(s.Context()); return err }},
		{procedure: orderv1connect.OrderServiceRecordShipmentProcedure, before: order, req: func() proto.Message {
			e := shipped("s1")
			return &orderv1.RecordShipmentRequest{CustomerId: e.GetCustomerId(), OrderId: e.GetOrderId(), FcId: e.GetFcId(), ShipmentId: e.GetShipmentId(), TrackingNumber: e.GetTrackingNumber(), ShippedAt: e.GetShippedAt()}
		}},
		{procedure: orderv1connect.OrderServiceReturnItemsProcedure, token: s.session, before: func() {
			_, err := s.cell.services.inventory.Ship(s.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: o.GetOrderId()})
			must(s.T, err)
		}, req: func() proto.Message {
			return &orderv1.ReturnItemsRequest{OrderId: o.GetOrderId(), ReturnId: "r1", Lines: []*orderv1.ReturnLine{{Line: 1, Quantity: 1, Reason: "broken"}}}
		}},
		// Nothing is under way of it any more once it has been canceled.
		{procedure: orderv1connect.OrderServiceEraseAddressesProcedure, req: func() proto.Message { return &orderv1.EraseAddressesRequest{CustomerId: s.id} }},
		{procedure: orderv1connect.OrderServiceRecordShortPickProcedure, before: order, after: drain, req: func() proto.Message {
			e := missed("s1.1")
			return &orderv1.RecordShortPickRequest{CustomerId: e.GetCustomerId(), OrderId: e.GetOrderId(), FcId: e.GetFcId(), ShortPicks: e.GetShortPicks()}
		}},
		{name: "the consumer of short picks", before: order, after: drain, do: func() error {
			data, err := proto.Marshal(missed("s1.1"))
			return errors.Join(err, s.cell.orderShort(s.Context(), bus.Message{ID: "m0", Data: data}))
		}},
		{name: "the consumer of shipments", before: order, do: func() error {
			data, err := proto.Marshal(shipped("s2"))
			return errors.Join(err, s.cell.orderShipped(s.Context(), bus.Message{ID: "m1", Data: data}))
		}},
		{name: "the consumer of scans", do: func() error {
			seen := &orderv1.Scan{Seq: 1, State: orderv1.WayState_WAY_STATE_PICKED_UP, At: timestamppb.Now(), Place: "Ashburn"}
			data, err := proto.Marshal(&fulfillmentv1.ShipmentScanned{Shipment: shipped("s2"), Scans: []*orderv1.Scan{seen}})
			return errors.Join(err, s.cell.orderScanned(s.Context(), bus.Message{ID: "m2", Data: data}))
		}},
	}
}

// ordering by other services.
func (s *stale) ordering() []moved {
	var paid, failed *orderv1.Order
	fresh := func() *orderv1.Order {
		o := s.order()
		return &orderv1.Order{OrderId: orderID(), CustomerId: s.id, Lines: o.GetLines(), ShipTo: newYork, ItemsTotal: o.GetItemsTotal(), Shipping: o.GetShipping(), Tax: o.GetTax(),
			Total: o.GetTotal(), Discount: o.GetDiscount(), ShippingTax: o.GetShippingTax()}
	}
	return []moved{
		{procedure: orderv1connect.OrderServiceCreateOrderProcedure, before: func() { paid = fresh() }, req: func() proto.Message { return &orderv1.CreateOrderRequest{Order: paid} }},
		{procedure: orderv1connect.OrderServiceMarkPaidProcedure, req: func() proto.Message {
			return &orderv1.MarkPaidRequest{CustomerId: s.id, OrderId: paid.GetOrderId(), ShipTo: newYork,
				Parcels: []*orderv1.Parcel{{FcId: "iad1", Region: string(ringOf), Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "kettle", Quantity: 1}}}}}
		}},
		{procedure: orderv1connect.OrderServiceMarkFailedProcedure, before: func() {
			failed = fresh()
			s.ask(orderv1connect.OrderServiceCreateOrderProcedure, "", nil, &orderv1.CreateOrderRequest{Order: failed}, nil)
		}, req: func() proto.Message {
			return &orderv1.MarkFailedRequest{CustomerId: s.id, OrderId: failed.GetOrderId(), Reason: "OUT_OF_STOCK"}
		}},
	}
}

// paying, as checkout and the card network have it.
func (s *stale) paying() []moved {
	held, taken, pending, told, heard := orderID(), orderID(), orderID(), orderID(), orderID()
	card := []*paymentv1.Tender{{Means: &paymentv1.Tender_CardToken{CardToken: "tok_visa"}}}
	capture := func(order string) *paymentv1.CaptureRequest {
		return &paymentv1.CaptureRequest{CustomerId: s.id, OrderId: order, Amount: money.USD(500).Proto(), CardToken: "tok_visa"}
	}
	// unknown is a payment whose answer has not been heard.
	unknown := func(order string) func() {
		return func() {
			s.ask(paymentv1connect.PaymentServiceCaptureProcedure, "", nil, capture(order), nil)
			s.sql("UPDATE payments SET state = 'PENDING', charge_id = '' WHERE order_id = '" + order + "'")
		}
	}
	return []moved{
		{procedure: paymentv1connect.PaymentServiceAuthorizeProcedure, req: func() proto.Message {
			return &paymentv1.AuthorizeRequest{CustomerId: s.id, OrderId: held, Amount: money.USD(500).Proto(), Tenders: card}
		}},
		{procedure: paymentv1connect.PaymentServiceCaptureProcedure, req: func() proto.Message { return capture(taken) }},
		{procedure: paymentv1connect.PaymentServiceRefundProcedure, req: func() proto.Message { return &paymentv1.RefundRequest{CustomerId: s.id, OrderId: taken} }},
		{procedure: paymentv1connect.PaymentServiceRefreshProcedure, before: unknown(pending), req: func() proto.Message { return &paymentv1.RefreshRequest{CustomerId: s.id, OrderId: pending} }},
		{procedure: paymentv1connect.PaymentServiceTakeEventProcedure, before: unknown(told), req: func() proto.Message {
			return &paymentv1.TakeEventRequest{CustomerId: s.id, OrderId: told, Key: told, ChargeId: "ch_1", Status: string(cardnetwork.Captured)}
		}},
		{name: "the card network's webhook", before: unknown(heard), silent: true, do: func() error { return s.webhook(heard) }},
		{procedure: paymentv1connect.PaymentServiceCreditWalletProcedure, req: func() proto.Message {
			return &paymentv1.CreditWalletRequest{CustomerId: s.id, CreditId: "c1", Amount: money.USD(500).Proto(), Reason: "late"}
		}},
	}
}

// webhook of the card network: it tells of an order's charge.
func (s *stale) webhook(order string) error {
	body, err := json.Marshal(cardnetwork.Event{ID: "e1", Type: "charge.captured", At: time.Now(), Key: order, Charge: cardnetwork.Charge{ID: "ch_2", Status: cardnetwork.Captured}})
	if err != nil {
		return err
	}
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(s.cell.keys.cardEvents))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	r := httptest.NewRequest(http.MethodPost, WebhookPath, bytes.NewReader(body))
	r.Header.Set(cardnetwork.SignatureHeader, "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	s.public.Config.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("the webhook answers %d %s", w.Code, w.Header().Get(rpc.WrongCellHeader))
	}
	return nil
}

// sweeping, and what operators decide.
func (s *stale) sweeping() []moved {
	demo := &recoveryv1.BeginDemoResponse{}
	id := func() string { return demo.GetSaga().GetSagaId() }
	state := func(set string) func() { return func() { s.sql("UPDATE sagas SET " + set + " WHERE kind = 'demo'") } }
	return []moved{
		{procedure: recoveryv1connect.RecoveryServiceBeginDemoProcedure, req: always(&recoveryv1.BeginDemoRequest{Poison: true}), into: demo},
		{procedure: recoveryv1connect.RecoveryServiceReleaseDemoProcedure, req: func() proto.Message { return &recoveryv1.ReleaseDemoRequest{SagaId: id(), Forwarded: true} }},
		{procedure: recoveryv1connect.RecoveryServiceUndoSagaProcedure, req: func() proto.Message {
			return &recoveryv1.UndoSagaRequest{SagaId: id(), Reason: "a drill", Forwarded: true}
		}},
		{procedure: recoveryv1connect.RecoveryServiceRetrySagaProcedure, before: state("status = 'PARKED', parked_from = 'UNDOING'"), req: func() proto.Message {
			return &recoveryv1.RetrySagaRequest{SagaId: id(), Reason: "a drill", Forwarded: true}
		}},
		{name: "the sweep of demos", silent: true, before: s.rouse, do: func() error { _, err := s.cell.services.recovery.Sweep(s.Context()); return err }},
		{name: "the sweep of idempotency keys", silent: true, before: func() { s.sql("UPDATE idempotency_keys SET expires_at = now() - interval '1 day'") },
			do: func() error { _, err := s.cell.services.checkout.SweepKeys(s.Context(), ringOf, 1000); return err }},
	}
}
