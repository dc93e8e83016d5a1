package fulfillment

import (
	"context"
	"strconv"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Limits of a plan.
const (
	maxLines    = 200
	maxQuantity = 999
)

// PlanOrder implements FulfillmentService.
func (s *Service) PlanOrder(ctx context.Context, req *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	var v problem.Violations
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxLines, "lines", "must be 1 to 200")
	wants := make([]want, 0, len(req.GetLines()))
	for i, l := range req.GetLines() {
		field := "lines[" + strconv.Itoa(i) + "]"
		v.Check(l.GetSku() != "", field+".sku", "must not be empty")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		wants = append(wants, want{line: l.GetLine(), sku: l.GetSku(), quantity: l.GetQuantity()})
	}
	to, ok := geo.Locate(req.GetShipTo().GetRegionCode(), req.GetShipTo().GetPostalCode())
	v.Check(ok, "ship_to.region_code", "must be a country that is delivered to")
	if err := v.Err(); err != nil {
		return nil, err
	}
	excluded := map[string]bool{}
	for _, fc := range req.GetExcludedFcs() {
		excluded[fc] = true
	}
	parcels, err := s.planOrder(ctx, to, wants, excluded)
	if err != nil {
		return nil, err
	}
	resp := &fulfillmentv1.PlanOrderResponse{}
	for _, p := range parcels {
		out := &fulfillmentv1.PlannedParcel{Region: p.center.Region, FcId: p.center.ID, DistanceKm: p.distance}
		for _, l := range p.lines {
			out.Lines = append(out.Lines, &orderv1.ParcelLine{Line: l.line, Sku: l.sku, Quantity: l.quantity})
		}
		resp.Parcels = append(resp.Parcels, out)
	}
	return resp, nil
}

// CancelShipment implements FulfillmentService.
func (s *Service) CancelShipment(ctx context.Context, req *fulfillmentv1.CancelShipmentRequest) (*fulfillmentv1.CancelShipmentResponse, error) {
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	// Only its own region may say that an FC sends nothing: a row anywhere else would stop nobody.
	region, ok := s.FC(ctx, req.GetFcId())
	if !ok {
		return nil, problem.New(problem.Unavailable, "UNKNOWN_FC", "the fulfilment centre is not known here")
	}
	if region != s.deps.Region {
		return nil, problem.New(problem.Invalid, "FOREIGN_FC", "the fulfilment centre belongs to another region; ask a cell there")
	}
	state, err := s.cancelShipment(ctx, req.GetFcId(), order)
	if err != nil {
		return nil, err
	}
	return &fulfillmentv1.CancelShipmentResponse{Canceled: state == canceled, State: stateProto(state)}, nil
}

// ListShipments implements FulfillmentService.
func (s *Service) ListShipments(ctx context.Context, req *fulfillmentv1.ListShipmentsRequest) (*fulfillmentv1.ListShipmentsResponse, error) {
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	all, err := s.readShipments(ctx, order)
	if err != nil {
		return nil, err
	}
	resp := &fulfillmentv1.ListShipmentsResponse{}
	for _, sh := range all {
		resp.Shipments = append(resp.Shipments, s.show(sh))
	}
	return resp, nil
}
