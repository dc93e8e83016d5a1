package inventory

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// GetAvailability implements InventoryService.
func (s *Service) GetAvailability(ctx context.Context, req *inventoryv1.GetAvailabilityRequest) (*inventoryv1.GetAvailabilityResponse, error) {
	if err := validateSKUs(req.GetSkus()); err != nil {
		return nil, err
	}
	sums, missing, err := s.availability(ctx, req.GetSkus())
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.GetAvailabilityResponse{MissingRegions: missing}
	for _, sku := range req.GetSkus() {
		resp.Availabilities = append(resp.Availabilities, &inventoryv1.Availability{Sku: sku, Available: sums[sku]})
	}
	return resp, nil
}

// ListStock implements InventoryService.
func (s *Service) ListStock(ctx context.Context, req *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
	if err := validateSKUs(req.GetSkus()); err != nil {
		return nil, err
	}
	if len(req.GetFcIds()) > maxFCs {
		var v problem.Violations
		v.Check(false, "fc_ids", "must be 500 at most")
		return nil, v.Err()
	}
	stocks, err := s.listStock(ctx, req.GetSkus(), req.GetFcIds())
	return &inventoryv1.ListStockResponse{Stocks: stocks}, err
}

// ListSummaries implements InventoryService.
func (s *Service) ListSummaries(ctx context.Context, req *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error) {
	if err := validateSKUs(req.GetSkus()); err != nil {
		return nil, err
	}
	all, err := s.summaries(ctx, req.GetSkus())
	return &inventoryv1.ListSummariesResponse{Summaries: all}, err
}

func validateSKUs(skus []string) error {
	var v problem.Violations
	v.Check(len(skus) >= 1 && len(skus) <= maxSKUs, "skus", "must be 1 to 200")
	for i, sku := range skus {
		v.Check(validKey(sku, 64), "skus["+strconv.Itoa(i)+"]", "must be 1 to 64 characters")
	}
	return v.Err()
}

// Reserve implements InventoryService.
func (s *Service) Reserve(ctx context.Context, req *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	lines := readLines(&v, req.GetLines())
	until := expiry(&v, a.now, req.GetExpiresAt())
	if err := v.Err(); err != nil {
		return nil, err
	}
	held, err := s.reserve(ctx, a, demand{lines, until, req.GetPartial()})
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.ReserveResponse{ExpiresAt: timestamppb.New(held.until)}
	for _, l := range held.lines {
		resp.Lines = append(resp.Lines, &inventoryv1.ReserveLine{Line: l.number, Sku: l.sku, Quantity: l.quantity})
	}
	return resp, nil
}

// readLines of an order at an FC.
func readLines(v *problem.Violations, all []*inventoryv1.ReserveLine) []line {
	v.Check(len(all) >= 1 && len(all) <= maxLines, "lines", "must be 1 to 200")
	seen := map[int32]bool{}
	lines := make([]line, 0, len(all))
	for i, l := range all {
		field := "lines[" + strconv.Itoa(i) + "]"
		v.Check(l.GetLine() >= 1 && !seen[l.GetLine()], field+".line", "must count from 1, each once")
		v.Check(validKey(l.GetSku(), 64), field+".sku", "must be 1 to 64 characters")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		seen[l.GetLine()] = true
		lines = append(lines, line{number: l.GetLine(), sku: l.GetSku(), quantity: l.GetQuantity()})
	}
	return lines
}

func expiry(v *problem.Violations, now time.Time, at *timestamppb.Timestamp) time.Time {
	t := at.AsTime().Truncate(time.Microsecond) // as it is stored, so that a repeated call is answered alike
	v.Check(at != nil && t.After(now) && !t.After(now.Add(maxHold+time.Minute)), "expires_at", "must lie ahead, by an hour at most")
	return t
}

// place reads where and for whom, and refuses an FC of another region.
func (s *Service) place(ctx context.Context, fc, order string) (at, error) {
	if err := s.ownFC(ctx, fc); err != nil {
		return at{}, err
	}
	id, err := ident.ParseOrder(order)
	if err != nil {
		return at{}, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	return at{fc: fc, order: id, now: s.deps.Clock.Now()}, nil
}

func (s *Service) ownFC(ctx context.Context, fc string) error {
	region, ok := s.deps.FC(ctx, fc)
	if !ok {
		return problem.New(problem.Invalid, "UNKNOWN_FC", "there is no such fulfilment centre")
	}
	if region != s.deps.Region {
		return problem.New(problem.Invalid, "FOREIGN_FC", "the fulfilment centre belongs to another region; ask a cell there")
	}
	return nil
}

// ExtendHold implements InventoryService.
func (s *Service) ExtendHold(ctx context.Context, req *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	until := expiry(&v, a.now, req.GetExpiresAt())
	if err := v.Err(); err != nil {
		return nil, err
	}
	return &inventoryv1.ExtendHoldResponse{}, s.extend(ctx, a, until)
}

// Commit implements InventoryService.
func (s *Service) Commit(ctx context.Context, req *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	return &inventoryv1.CommitResponse{}, s.commit(ctx, a)
}

// Release implements InventoryService.
func (s *Service) Release(ctx context.Context, req *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	n, err := s.release(ctx, a)
	return &inventoryv1.ReleaseResponse{Released: n}, err
}

// Ship implements InventoryService.
func (s *Service) Ship(ctx context.Context, req *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	n, err := s.ship(ctx, a)
	return &inventoryv1.ShipResponse{Shipped: n}, err
}

// Return implements InventoryService.
func (s *Service) Return(ctx context.Context, req *inventoryv1.ReturnRequest) (*inventoryv1.ReturnResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(validKey(req.GetReturnId(), 50) && !strings.Contains(req.GetReturnId(), "/"), "return_id", "must be 1 to 50 characters, without a slash")
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxLines, "lines", "must be 1 to 200")
	seen := map[string]bool{}
	entries := make([]entry, 0, len(req.GetLines()))
	for i, l := range req.GetLines() {
		field := "lines[" + strconv.Itoa(i) + "]"
		v.Check(validKey(l.GetSku(), 64) && !seen[l.GetSku()], field+".sku", "must be 1 to 64 characters, each product once")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		seen[l.GetSku()] = true
		entries = append(entries, entry{fc: a.fc, sku: l.GetSku(), delta: l.GetQuantity()})
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	already, err := s.takeBack(ctx, back{at: a, id: req.GetReturnId(), entries: entries})
	return &inventoryv1.ReturnResponse{AlreadyCounted: already}, err
}

// WriteOff implements InventoryService.
func (s *Service) WriteOff(ctx context.Context, req *inventoryv1.WriteOffRequest) (*inventoryv1.WriteOffResponse, error) {
	a, err := s.place(ctx, req.GetFcId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(validKey(req.GetWriteOffId(), 100), "write_off_id", "must be 1 to 100 characters")
	v.Check(validKey(req.GetReason(), 200), "reason", "must be 1 to 200 characters")
	lines := readLines(&v, req.GetLines())
	if err := v.Err(); err != nil {
		return nil, err
	}
	already, err := s.writeOff(ctx, writeOff{at: a, id: req.GetWriteOffId(), reason: req.GetReason(), lines: sortLines(lines)})
	return &inventoryv1.WriteOffResponse{AlreadyCounted: already}, err
}

// Restock implements InventoryService.
func (s *Service) Restock(ctx context.Context, req *inventoryv1.RestockRequest) (*inventoryv1.RestockResponse, error) {
	if err := s.ownFC(ctx, req.GetFcId()); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(validKey(req.GetDeliveryId(), 100) && req.GetDeliveryId() != "opening", "delivery_id", "must be 1 to 100 characters, and not the opening stock's")
	v.Check(len(req.GetLines()) >= 1 && len(req.GetLines()) <= maxRestockLines, "lines", "must be 1 to 1,000")
	seen := map[string]bool{}
	entries := make([]entry, 0, len(req.GetLines()))
	for i, l := range req.GetLines() {
		field := "lines[" + strconv.Itoa(i) + "]"
		v.Check(validKey(l.GetSku(), 64) && !seen[l.GetSku()], field+".sku", "must be 1 to 64 characters, each product once")
		v.Check(l.GetQuantity() >= 1 && l.GetQuantity() <= maxRestock, field+".quantity", "must be 1 to 1,000,000")
		seen[l.GetSku()] = true
		entries = append(entries, entry{fc: req.GetFcId(), sku: l.GetSku(), delta: l.GetQuantity()})
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	already, err := s.restock(ctx, req.GetDeliveryId(), entries)
	return &inventoryv1.RestockResponse{AlreadyCounted: already}, err
}

// Adjust implements InventoryService.
func (s *Service) Adjust(ctx context.Context, req *inventoryv1.AdjustRequest) (*inventoryv1.AdjustResponse, error) {
	if err := s.ownFC(ctx, req.GetFcId()); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(validKey(req.GetAdjustmentId(), 100), "adjustment_id", "must be 1 to 100 characters")
	v.Check(validKey(req.GetSku(), 64), "sku", "must be 1 to 64 characters")
	v.Check(req.GetDelta() != 0 && req.GetDelta() >= -maxRestock && req.GetDelta() <= maxRestock, "delta", "must be -1,000,000 to 1,000,000, and not 0")
	v.Check(validKey(req.GetReason(), 200), "reason", "must be 1 to 200 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	already, err := s.adjust(ctx, req.GetAdjustmentId(), req.GetReason(), entry{fc: req.GetFcId(), sku: req.GetSku(), delta: req.GetDelta()})
	return &inventoryv1.AdjustResponse{AlreadyCounted: already}, err
}
