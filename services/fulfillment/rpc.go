package fulfillment

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

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
	// maxCenters in one answer: an order has no more parcels than lines.
	maxCenters = maxLines
)

// PlanOrder implements FulfillmentService.
func (s *Service) PlanOrder(ctx context.Context, req *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	e, err := s.errandOf(req)
	if err != nil {
		return nil, err
	}
	plan, err := s.planOrder(ctx, e)
	if err != nil {
		return nil, err
	}
	resp := &fulfillmentv1.PlanOrderResponse{Parcels: make([]*fulfillmentv1.PlannedParcel, len(plan.Parcels))}
	for i := range plan.Parcels {
		resp.Parcels[i] = plan.Parcels[i].proto(e.to, e.speed)
	}
	return resp, nil
}

// ListCenters implements FulfillmentService.
func (s *Service) ListCenters(ctx context.Context, req *fulfillmentv1.ListCentersRequest) (*fulfillmentv1.ListCentersResponse, error) {
	var v problem.Violations
	v.Check(len(req.GetFcIds()) >= 1 && len(req.GetFcIds()) <= maxCenters, "fc_ids", "must be 1 to 200")
	if err := v.Err(); err != nil {
		return nil, err
	}
	centers, err := s.Centers(ctx)
	if err != nil {
		return nil, err
	}
	resp := &fulfillmentv1.ListCentersResponse{}
	for _, id := range req.GetFcIds() {
		if c, known := centers[id]; known {
			resp.Centers = append(resp.Centers, &fulfillmentv1.Center{FcId: c.ID, Region: c.Region, Name: c.Name, Place: place(c.City, c.At)})
		}
	}
	return resp, nil
}

// errandOf a request that is well formed.
func (s *Service) errandOf(req *fulfillmentv1.PlanOrderRequest) (e errand, err error) {
	var v problem.Violations
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxLines, "lines", "must be 1 to 200")
	e = errand{now: s.deps.Clock.Now(), speed: speedOf(req.GetSpeed()), wants: make([]Want, 0, len(req.GetLines()))}
	for i, l := range req.GetLines() {
		if ok := l.GetSku() != ""; !ok {
			v.Check(false, field(i, "sku"), "must not be empty")
		}
		if ok := l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity; !ok {
			v.Check(false, field(i, "quantity"), "must be 1 to 999")
		}
		e.wants = append(e.wants, Want{Line: l.GetLine(), SKU: l.GetSku(), Quantity: l.GetQuantity()})
	}
	_, known := fulfillmentv1.Speed_name[int32(req.GetSpeed())]
	v.Check(known, "speed", "must be one of the speeds")
	to, ok := geo.Locate(req.GetShipTo().GetRegionCode(), req.GetShipTo().GetPostalCode())
	v.Check(ok, "ship_to.region_code", "must be a country that is delivered to")
	e.to = to
	if len(req.GetExcludedFcs()) > 0 {
		e.excluded = map[string]bool{}
		for _, fc := range req.GetExcludedFcs() {
			e.excluded[fc] = true
		}
	}
	return e, v.Err()
}

func field(line int, name string) string { return "lines[" + strconv.Itoa(line) + "]." + name }

func (p *Parcel) proto(to geo.Point, speed Speed) *fulfillmentv1.PlannedParcel {
	out := &fulfillmentv1.PlannedParcel{
		Region: p.Center.Region, FcId: p.Center.ID, DistanceKm: p.Leg.KM, Lines: make([]*orderv1.ParcelLine, len(p.Lines)),
		ShipBy: timestamppb.New(p.Leg.ShipBy), DeliverBy: timestamppb.New(p.Leg.DeliverBy), DeliverDay: dateAt(to, p.Leg.DeliverBy), OrderBy: timestamppb.New(orderBy(p.Leg.ShipBy)),
		Cost: cost(p.Leg.KM, speed, p.units()).Proto(),
	}
	for i, l := range p.Lines {
		out.Lines[i] = &orderv1.ParcelLine{Line: l.Line, Sku: l.SKU, Quantity: l.Quantity}
	}
	return out
}

// CancelShipment implements FulfillmentService.
func (s *Service) CancelShipment(ctx context.Context, req *fulfillmentv1.CancelShipmentRequest) (*fulfillmentv1.CancelShipmentResponse, error) {
	// Only its own region may say that an FC sends nothing: a row anywhere else would stop nobody.
	order, err := s.ownShipment(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	state, err := s.cancelShipment(ctx, req.GetFcId(), order)
	if err != nil {
		return nil, err
	}
	if state == short {
		return nil, inProgress()
	}
	return &fulfillmentv1.CancelShipmentResponse{Canceled: state == canceled, State: stateProto(state)}, nil
}

// ownShipment reads the key of a shipment of this region's FCs.
func (s *Service) ownShipment(ctx context.Context, fc, orderID string) (ident.OrderID, error) {
	order, err := ident.ParseOrder(orderID)
	if err != nil {
		return "", problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	region, ok := s.FC(ctx, fc)
	if !ok {
		return "", problem.New(problem.Unavailable, "UNKNOWN_FC", "the fulfilment centre is not known here")
	}
	if region != s.deps.Region {
		return "", problem.New(problem.Invalid, "FOREIGN_FC", "the fulfilment centre belongs to another region; ask a cell there")
	}
	return order, nil
}

// ReportShortPick implements FulfillmentService.
func (s *Service) ReportShortPick(ctx context.Context, req *fulfillmentv1.ReportShortPickRequest) (*fulfillmentv1.ReportShortPickResponse, error) {
	order, err := s.ownShipment(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxLines, "lines", "must be 1 to 200")
	found := map[int32]int64{}
	for i, l := range req.GetLines() {
		_, twice := found[l.GetLine()]
		v.Check(!twice && l.GetLine() >= 1, field(i, "line"), "must count from 1, each once")
		v.Check(l.GetFound() >= 0 && l.GetFound() <= maxQuantity, field(i, "found"), "must be 0 to 999")
		found[l.GetLine()] = l.GetFound()
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	pick, err := s.reportShortPick(ctx, parcelKey{req.GetFcId(), string(order)}, found)
	return &fulfillmentv1.ReportShortPickResponse{ShortPick: pick}, err
}

// RecordScans implements FulfillmentService.
func (s *Service) RecordScans(ctx context.Context, req *fulfillmentv1.RecordScansRequest) (*fulfillmentv1.RecordScansResponse, error) {
	order, err := s.ownShipment(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(len(req.GetScans()) >= 1 && len(req.GetScans()) <= maxScans, "scans", "must be 1 to 100")
	for i, scan := range req.GetScans() {
		_, known := orderv1.WayState_name[int32(scan.GetState())]
		ok := known && scan.GetState() != 0 && scan.GetSeq() >= 1 && scan.GetSeq() <= maxScans && len(scan.GetPlace()) <= maxScanText && len(scan.GetNote()) <= maxScanText && scan.GetAt().IsValid()
		v.Check(ok, "scans["+strconv.Itoa(i)+"]", "must have a number from 1 to 100, a state, a time, and texts of at most 200 bytes")
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	return &fulfillmentv1.RecordScansResponse{}, s.recordScans(ctx, parcelKey{req.GetFcId(), string(order)}, req.GetShipmentId(), req.GetScans())
}

// ListShipments implements FulfillmentService.
func (s *Service) ListShipments(ctx context.Context, req *fulfillmentv1.ListShipmentsRequest) (*fulfillmentv1.ListShipmentsResponse, error) {
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	all, scans, err := s.readShipments(ctx, order)
	if err != nil {
		return nil, err
	}
	resp := &fulfillmentv1.ListShipmentsResponse{}
	for _, sh := range all {
		resp.Shipments = append(resp.Shipments, s.show(sh, scans[sh.fc]))
	}
	return resp, nil
}
