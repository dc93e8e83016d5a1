package controlplane

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// maxCause is the longest name and the longest reason, in bytes: a line each.
	maxCause = 300
	// maxListed and defaultListed bound lists.
	maxListed     = 500
	defaultListed = 50
	// minExpiry and maxExpiry of what ends by itself.
	minExpiry = time.Minute
	maxExpiry = 30 * 24 * time.Hour
	// maxReported cells of one report: as many as a map may have.
	maxReported = 1024
	// maxName of a cell, and maxReporter of a reporter, in bytes: the latter may have a host's name in it.
	maxName     = 64
	maxReporter = 400
)

func checkCause(v *problem.Violations, c *topologyv1.Cause) {
	v.Check(c.GetWho() != "" && len(c.GetWho()) <= maxCause, "cause.who", fmt.Sprintf("must say who wants it, in 1 to %d bytes", maxCause))
	v.Check(c.GetReason() != "" && len(c.GetReason()) <= maxCause, "cause.reason", fmt.Sprintf("must say why, in 1 to %d bytes", maxCause))
}

func checkExpiry(v *problem.Violations, d *durationpb.Duration) {
	v.Check(d.IsValid() && d.AsDuration() >= minExpiry && d.AsDuration() <= maxExpiry, "expires_in", "must be a minute to 30 days")
}

func checkCell(v *problem.Violations, path string, c *topologyv1.Cell) {
	v.Check(c.GetCellId() != "" && len(c.GetCellId()) <= maxName, path+".cell_id", fmt.Sprintf("must be 1 to %d characters", maxName))
	_, known := ident.Region(c.GetRegion()).Code()
	v.Check(known, path+".region", fmt.Sprintf("must be one of %v", ident.Regions()))
	state := cellOf(c).State
	v.Check(state != "", path+".state", "must be a state")
	v.Check(c.GetWeight() >= 0 && c.GetWeight() <= 10_000, path+".weight", "must be 0 to 10,000")
	v.Check(c.GetCapacity() >= 0 && c.GetCapacity() <= 10_000_000, path+".capacity", "must be 0 to 10,000,000 requests a second")
	for field, address := range map[string]string{"public_address": c.GetPublicAddress(), "internal_address": c.GetInternalAddress(), "admin_address": c.GetAdminAddress()} {
		_, _, err := net.SplitHostPort(address)
		v.Check(err == nil, path+"."+field, "must be host:port")
	}
}

// listed is how many a list may have.
func listed(v *problem.Violations, limit int32) int {
	v.Check(limit >= 0 && limit <= maxListed, "limit", fmt.Sprintf("must be 0 to %d", maxListed))
	if limit == 0 {
		return defaultListed
	}
	return int(limit)
}

// permit a change: well formed, and this process leads.
func (s *Service) permit(ctx context.Context, v *problem.Violations) error {
	if err := v.Err(); err != nil {
		return err
	}
	return s.leader.require(ctx)
}

// shown map in force, with what is recorded of its overrides.
func (s *Service) shown(ctx context.Context, p *publication) (*topologyv1.Map, error) {
	records, err := s.store.listOverrides(ctx)
	if err != nil {
		return nil, err
	}
	return shownMap(p.m, recordsByCustomer(records)), nil
}

// GetMap implements TopologyService.
func (s *Service) GetMap(ctx context.Context, req *topologyv1.GetMapRequest) (*topologyv1.GetMapResponse, error) {
	p, err := s.publisher.version(ctx, req.GetVersion())
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, p)
	if err != nil {
		return nil, err
	}
	return &topologyv1.GetMapResponse{Map: m, Made: shownVersion(p.made), SignedSnapshot: p.snapshot}, nil
}

// WatchMap implements TopologyService.
func (s *Service) WatchMap(ctx context.Context, req *topologyv1.WatchMapRequest, stream *connect.ServerStream[topologyv1.WatchMapResponse]) error {
	err := s.feed.watch(ctx, s.deps.Clock, req.GetSeenVersion(), stream.Send)
	if ctx.Err() == nil {
		return err
	}
	return nil // the watcher has left, and that is no failure
}

// ListMaps implements TopologyService.
func (s *Service) ListMaps(ctx context.Context, req *topologyv1.ListMapsRequest) (*topologyv1.ListMapsResponse, error) {
	var v problem.Violations
	limit := listed(&v, req.GetLimit())
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := s.store.list(ctx, limit)
	if err != nil {
		return nil, err
	}
	resp := &topologyv1.ListMapsResponse{}
	for _, m := range all {
		resp.Versions = append(resp.Versions, shownVersion(m))
	}
	return resp, nil
}

// DiffMaps implements TopologyService.
func (s *Service) DiffMaps(ctx context.Context, req *topologyv1.DiffMapsRequest) (*topologyv1.DiffMapsResponse, error) {
	var v problem.Violations
	v.Check(req.GetFromVersion() > 0, "from_version", "must be a version")
	if err := v.Err(); err != nil {
		return nil, err
	}
	from, err := s.publisher.version(ctx, req.GetFromVersion())
	if err != nil {
		return nil, err
	}
	to, err := s.publisher.version(ctx, req.GetToVersion())
	if err != nil {
		return nil, err
	}
	return &topologyv1.DiffMapsResponse{Changes: shownChanges(topology.Diff(from.m, to.m))}, nil
}

// AddCell implements TopologyService.
func (s *Service) AddCell(ctx context.Context, req *topologyv1.AddCellRequest) (*topologyv1.AddCellResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	checkCell(&v, "cell", req.GetCell())
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	p, err := s.publisher.addCell(ctx, cellOf(req.GetCell()), causeOf(req.GetCause()))
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, p)
	return &topologyv1.AddCellResponse{Map: m}, err
}

// AddRegion implements TopologyService.
func (s *Service) AddRegion(ctx context.Context, req *topologyv1.AddRegionRequest) (*topologyv1.AddRegionResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	_, known := ident.Region(req.GetRegion()).Code()
	v.Check(known, "region", fmt.Sprintf("must be one of %v", ident.Regions()))
	v.Check(len(req.GetCells()) > 0 && len(req.GetCells()) <= maxReported, "cells", "must be the first cells of the region")
	var cells []topology.Cell
	for i, c := range req.GetCells() {
		path := fmt.Sprintf("cells[%d]", i)
		checkCell(&v, path, c)
		v.Check(c.GetRegion() == req.GetRegion(), path+".region", "must be the region that is added")
		v.Check(cellOf(c).State == topology.Active, path+".state", "must be active: it is to own slots")
		v.Check(!slices.ContainsFunc(cells, func(other topology.Cell) bool { return other.ID == c.GetCellId() }), path+".cell_id", "must be named once")
		cells = append(cells, cellOf(c))
	}
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	p, err := s.publisher.addRegion(ctx, ident.Region(req.GetRegion()), cells, causeOf(req.GetCause()))
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, p)
	return &topologyv1.AddRegionResponse{Map: m}, err
}

// SetWeight implements TopologyService.
func (s *Service) SetWeight(ctx context.Context, req *topologyv1.SetWeightRequest) (*topologyv1.SetWeightResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetCellId() != "", "cell_id", "must name a cell")
	v.Check(req.GetWeight() >= 0 && req.GetWeight() <= 10_000, "weight", "must be 0 to 10,000")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	p, err := s.publisher.setWeight(ctx, req.GetCellId(), int(req.GetWeight()), causeOf(req.GetCause()))
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, p)
	return &topologyv1.SetWeightResponse{Map: m}, err
}

// SetState implements TopologyService.
func (s *Service) SetState(ctx context.Context, req *topologyv1.SetStateRequest) (*topologyv1.SetStateResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetCellId() != "", "cell_id", "must name a cell")
	state := stateOf(req.GetState())
	v.Check(state != "", "state", "must be a state")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	p, err := s.publisher.setState(ctx, req.GetCellId(), state, causeOf(req.GetCause()))
	if err != nil {
		return nil, err
	}
	m, err := s.shown(ctx, p)
	return &topologyv1.SetStateResponse{Map: m}, err
}

// GetCustomer implements TopologyService.
func (s *Service) GetCustomer(ctx context.Context, req *topologyv1.GetCustomerRequest) (*topologyv1.GetCustomerResponse, error) {
	id, err := customerOf(req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	held, err := s.publisher.version(ctx, 0)
	if err != nil {
		return nil, err
	}
	cell, epoch, ok := held.m.Owner(id)
	if !ok {
		return nil, problem.New(problem.NotFound, "UNKNOWN_REGION", "no map has the ring of the customer")
	}
	resp := &topologyv1.GetCustomerResponse{Ring: string(id.Region()), Slot: int32(id.Slot()), Epoch: epoch, CellId: cell}
	for _, r := range held.m.Runs(id.Region()) {
		if int(id.Slot()) >= r.From && int(id.Slot()) <= r.To {
			resp.SlotOwner = r.Owner
		}
	}
	if slices.ContainsFunc(held.m.Overrides, func(o topology.Override) bool { return o.Customer == id }) {
		records, err := s.store.listOverrides(ctx)
		if err != nil {
			return nil, err
		}
		resp.Override = shownOverride(id, cell, recordsByCustomer(records))
	}
	return resp, nil
}

func customerOf(s string) (ident.CustomerID, error) {
	id, err := ident.Parse(s)
	var v problem.Violations
	v.Check(err == nil, "customer_id", "must be the id of a customer or guest")
	return id, v.Err()
}

// SetOverride implements TopologyService.
func (s *Service) SetOverride(ctx context.Context, req *topologyv1.SetOverrideRequest) (*topologyv1.SetOverrideResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	checkExpiry(&v, req.GetExpiresIn())
	v.Check(req.GetCellId() != "", "cell_id", "must name a cell")
	id, err := ident.Parse(req.GetCustomerId())
	v.Check(err == nil, "customer_id", "must be the id of a customer or guest")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	o, err := s.pin(ctx, id, req.GetCellId(), req.GetExpiresIn().AsDuration(), causeOf(req.GetCause()))
	if err != nil {
		return nil, err
	}
	return &topologyv1.SetOverrideResponse{Override: shownOverride(id, o.cell, recordsByCustomer([]override{o}))}, nil
}

// RemoveOverride implements TopologyService.
func (s *Service) RemoveOverride(ctx context.Context, req *topologyv1.RemoveOverrideRequest) (*topologyv1.RemoveOverrideResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	id, err := ident.Parse(req.GetCustomerId())
	v.Check(err == nil, "customer_id", "must be the id of a customer or guest")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	return &topologyv1.RemoveOverrideResponse{}, s.unpin(ctx, id, causeOf(req.GetCause()))
}

// ReportHealth implements TopologyService.
func (s *Service) ReportHealth(_ context.Context, req *topologyv1.ReportHealthRequest) (*topologyv1.ReportHealthResponse, error) {
	var v problem.Violations
	v.Check(req.GetReporter() != "" && len(req.GetReporter()) <= maxReporter, "reporter", fmt.Sprintf("must be 1 to %d bytes", maxReporter))
	_, known := ident.Region(req.GetRegion()).Code()
	v.Check(known, "region", fmt.Sprintf("must be one of %v", ident.Regions()))
	v.Check(len(req.GetCells()) <= maxReported, "cells", fmt.Sprintf("must be at most %d", maxReported))
	if err := v.Err(); err != nil {
		return nil, err
	}
	r := report{name: req.GetReporter(), region: ident.Region(req.GetRegion()), version: req.GetMapVersion()}
	for _, c := range req.GetCells() {
		r.cells = append(r.cells, cellReport{cell: c.GetCellId(), healthy: c.GetHealthy(), requests: max(c.GetRequests(), 0)})
	}
	s.board.hear(r)
	return &topologyv1.ReportHealthResponse{}, nil
}

// GetAutomation implements TopologyService.
func (s *Service) GetAutomation(ctx context.Context, _ *topologyv1.GetAutomationRequest) (*topologyv1.GetAutomationResponse, error) {
	held, err := s.publisher.version(ctx, 0)
	if err != nil {
		return nil, err
	}
	l, err := s.store.readLever(ctx)
	if err != nil {
		return nil, err
	}
	name, _, err := s.leader.who(ctx)
	if err != nil {
		return nil, err
	}
	return &topologyv1.GetAutomationResponse{
		Enabled: l.enabled, Who: l.cause.Who, Reason: l.cause.Reason, ChangedAt: timestamppb.New(l.changedAt), Leader: name,
		Cells: s.board.shownHealth(held.m), Routers: shownReporters(s.board.heard()),
	}, nil
}

// SetAutomation implements TopologyService.
func (s *Service) SetAutomation(ctx context.Context, req *topologyv1.SetAutomationRequest) (*topologyv1.SetAutomationResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	cause := causeOf(req.GetCause())
	held, err := s.seen(ctx, cause)
	if err != nil {
		return nil, err
	}
	action := "automation turned off"
	if req.GetEnabled() {
		action = "automation turned on"
	}
	now := s.deps.Clock.Now()
	err = s.store.db.InTx(ctx, func(tx sqldb.Tx) error {
		if err := setLever(ctx, tx, req.GetEnabled(), cause, now); err != nil {
			return err
		}
		return record(ctx, tx, change{at: now, cause: cause, action: action, subject: "automation", version: held.m.Version})
	})
	return &topologyv1.SetAutomationResponse{}, err
}

// ListChanges implements TopologyService.
func (s *Service) ListChanges(ctx context.Context, req *topologyv1.ListChangesRequest) (*topologyv1.ListChangesResponse, error) {
	var v problem.Violations
	limit := listed(&v, req.GetLimit())
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := s.store.listChanges(ctx, limit)
	if err != nil {
		return nil, err
	}
	resp := &topologyv1.ListChangesResponse{}
	for _, c := range all {
		resp.Changes = append(resp.Changes, &topologyv1.Change{
			ChangeId: c.id, At: timestamppb.New(c.at), Who: c.cause.Who, Reason: c.cause.Reason, Action: c.action, Subject: c.subject, MapVersion: c.version,
		})
	}
	return resp, nil
}
