package order

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/fence"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// Limits of requests.
const (
	defaultPage = 20
	maxPage     = 100
	maxLines    = 200
	maxQuantity = 999
	maxScans    = 100 // of a parcel
	maxReason   = 100 // of a failure: machine-readable
	maxWords    = 200 // of a shopper's reason
	maxReturnID = 40
	maxKey      = 255
	// keyHeader as in the IETF draft "The Idempotency-Key HTTP Header Field".
	keyHeader = "Idempotency-Key"
)

// GetOrder implements OrderService.
func (s *Service) GetOrder(ctx context.Context, req *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	customer, id, err := ofSession(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	o, err := s.get(ctx, customer, id)
	if err != nil {
		return nil, err
	}
	return &orderv1.GetOrderResponse{Order: o}, nil
}

// ofSession reads the id of an order that the session's customer asks for.
func ofSession(ctx context.Context, orderID string) (ident.CustomerID, ident.OrderID, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return "", "", err
	}
	id, err := ident.ParseOrder(orderID)
	if err != nil || id.Ring() != p.CustomerID.Ring() {
		return "", "", problem.New(problem.NotFound, reasonUnknownOrder, "there is no such order")
	}
	return p.CustomerID, id, nil
}

// CancelOrder implements OrderService.
func (s *Service) CancelOrder(ctx context.Context, req *orderv1.CancelOrderRequest) (*orderv1.CancelOrderResponse, error) {
	customer, id, err := ofSession(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(words(req.GetReason()), "reason", "must be at most 200 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	return s.cancel(ctx, customer, id, req.GetReason())
}

func words(reason string) bool {
	return utf8.ValidString(reason) && utf8.RuneCountInString(reason) <= maxWords
}

// ReturnItems implements OrderService.
func (s *Service) ReturnItems(ctx context.Context, req *orderv1.ReturnItemsRequest) (*orderv1.ReturnItemsResponse, error) {
	customer, id, err := ofSession(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	returnID, err := returnIDOf(ctx, req.GetReturnId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxLines, "lines", "must be 1 to 200")
	seen := map[int32]bool{}
	for i, l := range req.GetLines() {
		field := "lines[" + strconv.Itoa(i) + "]"
		v.Check(l.GetLine() >= 1 && !seen[l.GetLine()], field+".line", "must be a line of the order, each once")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		v.Check(words(l.GetReason()), field+".reason", "must be at most 200 characters")
		seen[l.GetLine()] = true
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	return s.returnItems(ctx, customer, id, returnID, req.GetLines())
}

// returnIDOf a request: its own, or one made of the idempotency key.
func returnIDOf(ctx context.Context, given string) (string, error) {
	if given != "" {
		var v problem.Violations
		v.Check(len(given) <= maxReturnID && strings.Trim(given, returnAlphabet) == "", "return_id", "must be 1 to 40 letters, digits, \"-\" and \"_\"")
		return given, v.Err()
	}
	var raw string
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		raw = info.RequestHeader().Get(keyHeader)
	}
	return returnIDFrom(raw)
}

// returnIDFrom an idempotency key, bare or quoted as a structured field string: it names the return at the FCs and at the
// payment, where a key of any length and letters would not do.
func returnIDFrom(raw string) (string, error) {
	key := strings.Trim(strings.TrimSpace(raw), `"`)
	if key == "" || len(key) > maxKey {
		return "", problem.New(problem.Invalid, "IDEMPOTENCY_KEY_MISSING", "a return id, or the header Idempotency-Key of 1 to 255 characters, is required")
	}
	sum := sha256.Sum256([]byte(key))
	return "key-" + hex.EncodeToString(sum[:16]), nil
}

const returnAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// ListOrders implements OrderService.
func (s *Service) ListOrders(ctx context.Context, req *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(req.GetPageSize() >= 0 && req.GetPageSize() <= maxPage, "page_size", "must be 0 to 100")
	if err := v.Err(); err != nil {
		return nil, err
	}
	from, err := parsePage(req.GetPageToken(), s.deps.Clock.Now())
	if err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	orders, err := s.list(ctx, p.CustomerID, from, size)
	if err != nil {
		return nil, err
	}
	resp := &orderv1.ListOrdersResponse{Orders: orders}
	if len(orders) == size {
		resp.NextPageToken = formatPage(orders[size-1])
	}
	return resp, nil
}

func formatPage(last *orderv1.Order) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.GetPlacedAt().AsTime().UnixMicro(), 10) + "/" + last.GetOrderId()))
}

func parsePage(token string, now time.Time) (pageStart, error) {
	if token == "" {
		// An order placed in this very second by a cell whose clock is ahead is still seen.
		return pageStart{before: now.Add(time.Minute)}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	micros, id, found := strings.Cut(string(raw), "/")
	at, numErr := strconv.ParseInt(micros, 10, 64)
	if _, idErr := ident.ParseOrder(id); err != nil || !found || numErr != nil || at < 0 || idErr != nil {
		return pageStart{}, problem.New(problem.Invalid, "BAD_PAGE_TOKEN", "the page token is not one of ours")
	}
	return pageStart{before: time.UnixMicro(at).UTC(), id: id}, nil
}

// CreateOrder implements OrderService.
func (s *Service) CreateOrder(ctx context.Context, req *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
	o := req.GetOrder()
	customer, id, err := fence.OwnedOrder(ctx, s.deps.Fence, o.GetCustomerId(), o.GetOrderId())
	if err != nil {
		return nil, err
	}
	if err := validate(o); err != nil {
		return nil, err
	}
	return &orderv1.CreateOrderResponse{}, s.create(ctx, id, customer, o)
}

func validate(o *orderv1.Order) error {
	var v problem.Violations
	v.Check(len(o.GetLines()) >= 1 && len(o.GetLines()) <= maxLines, "order.lines", "must be 1 to 200")
	var discount, tax int64
	for i, l := range o.GetLines() {
		field := "order.lines[" + strconv.Itoa(i) + "]"
		v.Check(int(l.GetLine()) == i+1, field+".line", "must count from 1")
		v.Check(l.GetSku() != "", field+".sku", "must not be empty")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		v.Check(l.GetUnitPrice().GetMinorUnits() >= 0, field+".unit_price", "must not be negative")
		price, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity())
		off, on := l.GetDiscount().GetMinorUnits(), l.GetTax().GetMinorUnits()
		v.Check(err != nil || (off >= 0 && off <= price.Minor), field+".discount", "must be 0 to the line's price")
		v.Check(on >= 0, field+".tax", "must not be negative")
		discount, tax = discount+off, tax+on
	}
	v.Check(o.GetShipTo() != nil, "order.ship_to", "must be given")
	v.Check(oneCurrency(o), "order.total", "must be in the currency of all amounts")
	v.Check(discount == o.GetDiscount().GetMinorUnits(), "order.discount", "must be the sum of the lines'")
	shippingTax := o.GetShippingTax().GetMinorUnits()
	v.Check(shippingTax >= 0 && tax+shippingTax == o.GetTax().GetMinorUnits(), "order.tax", "must be the sum of the lines' and of that on shipping")
	v.Check(o.GetShipping().GetMinorUnits() >= 0, "order.shipping", "must not be negative")
	items, total, err := totals(o)
	v.Check(err == nil && items.Minor == o.GetItemsTotal().GetMinorUnits() && total.Minor == o.GetTotal().GetMinorUnits(),
		"order.total", "must be the sum of lines, less the discount, with shipping and tax, in one currency")
	return v.Err()
}

// oneCurrency of the amounts that totals does not add; absent ones are of any.
func oneCurrency(o *orderv1.Order) bool {
	want := o.GetTotal().GetCurrencyCode()
	same := func(all ...*moneyv1.Money) bool {
		return !slices.ContainsFunc(all, func(m *moneyv1.Money) bool { return m != nil && m.GetCurrencyCode() != want })
	}
	return same(o.GetDiscount(), o.GetShippingTax()) &&
		!slices.ContainsFunc(o.GetLines(), func(l *orderv1.Line) bool { return !same(l.GetDiscount(), l.GetTax()) })
}

// MarkPaid implements OrderService.
func (s *Service) MarkPaid(ctx context.Context, req *orderv1.MarkPaidRequest) (*orderv1.MarkPaidResponse, error) {
	customer, id, err := fence.OwnedOrder(ctx, s.deps.Fence, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	if err := validParcels(req); err != nil {
		return nil, err
	}
	o, err := s.markPaid(ctx, customer, id, req)
	return &orderv1.MarkPaidResponse{Order: o}, err
}

func validParcels(req *orderv1.MarkPaidRequest) error {
	var v problem.Violations
	v.Check(len(req.GetParcels()) > 0, "parcels", "must not be empty")
	seen := map[string]bool{}
	for i, p := range req.GetParcels() {
		ok := p.GetFcId() != "" && p.GetRegion() != "" && len(p.GetLines()) > 0 && !seen[p.GetFcId()]
		v.Check(ok, "parcels["+strconv.Itoa(i)+"]", "must have an FC, each once, its region and lines")
		seen[p.GetFcId()] = true
	}
	return v.Err()
}

// MarkFailed implements OrderService.
func (s *Service) MarkFailed(ctx context.Context, req *orderv1.MarkFailedRequest) (*orderv1.MarkFailedResponse, error) {
	customer, id, err := fence.OwnedOrder(ctx, s.deps.Fence, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(req.GetReason() != "" && len(req.GetReason()) <= maxReason, "reason", "must be 1 to 100 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	o, err := s.markFailed(ctx, customer, id, req.GetReason())
	return &orderv1.MarkFailedResponse{Order: o}, err
}

// RecordShipment implements OrderService.
func (s *Service) RecordShipment(ctx context.Context, req *orderv1.RecordShipmentRequest) (*orderv1.RecordShipmentResponse, error) {
	customer, id, err := fence.OwnedOrder(ctx, s.deps.Fence, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(req.GetFcId() != "", "fc_id", "must not be empty")
	v.Check(req.GetShipmentId() != "", "shipment_id", "must not be empty")
	v.Check(len(req.GetScans()) <= maxScans, "scans", "must be 100 at most")
	checkShortPicks(&v, req.GetShortPicks())
	if err := v.Err(); err != nil {
		return nil, err
	}
	if len(req.GetShortPicks()) > 0 {
		if err := s.recordShortPicks(ctx, customer, id, req.GetFcId(), req.GetExpress(), req.GetShortPicks()); err != nil {
			return nil, err
		}
	}
	return &orderv1.RecordShipmentResponse{}, s.recordShipment(ctx, customer, id, &orderv1.Shipped{
		FcId: req.GetFcId(), ShipmentId: req.GetShipmentId(), TrackingNumber: req.GetTrackingNumber(), ShippedAt: req.GetShippedAt(), Carrier: req.GetCarrier(),
	}, req.GetScans())
}

// RecordShortPick implements OrderService.
func (s *Service) RecordShortPick(ctx context.Context, req *orderv1.RecordShortPickRequest) (*orderv1.RecordShortPickResponse, error) {
	customer, id, err := fence.OwnedOrder(ctx, s.deps.Fence, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(req.GetFcId() != "", "fc_id", "must not be empty")
	v.Check(len(req.GetShortPicks()) > 0, "short_picks", "must not be empty")
	checkShortPicks(&v, req.GetShortPicks())
	if err := v.Err(); err != nil {
		return nil, err
	}
	return &orderv1.RecordShortPickResponse{}, s.recordShortPicks(ctx, customer, id, req.GetFcId(), req.GetExpress(), req.GetShortPicks())
}

func checkShortPicks(v *problem.Violations, all []*orderv1.ShortPick) {
	v.Check(len(all) <= maxLines, "short_picks", "must be 200 at most")
	for i, pick := range all {
		ok := pick.GetShortPickId() != "" && len(pick.GetLines()) > 0 && len(pick.GetLines()) <= maxLines
		v.Check(ok && !slices.ContainsFunc(pick.GetLines(), func(l *orderv1.ParcelLine) bool { return l.GetLine() < 1 || l.GetQuantity() < 1 }),
			"short_picks["+strconv.Itoa(i)+"]", "must have an id, and 1 to 200 lines with a number and units")
	}
}
