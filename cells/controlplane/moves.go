package controlplane

import (
	"context"
	"fmt"
	"strings"

	"github.com/cellar-commerce/cellar/cells/evacuation"
	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	kindEvacuation = topologyv1.EvacuationKind_EVACUATION_KIND_EVACUATION
	kindRebalance  = topologyv1.EvacuationKind_EVACUATION_KIND_REBALANCE
	kindRevert     = topologyv1.EvacuationKind_EVACUATION_KIND_REVERT
)

// seams is what moves of slots need of the control plane.
type seams struct {
	publisher *publisher
	board     *board
}

var _ evacuation.Fleet = seams{}

// Map implements evacuation.Fleet.
func (f seams) Map() *topology.Map {
	if held := f.publisher.feed.newest(); held != nil {
		return held.m
	}
	return nil
}

// Mark implements evacuation.Fleet.
func (f seams) Mark(ctx context.Context, states map[string]topology.State, _ evacuation.Cause, wanted func(ctx context.Context, tx sqldb.Tx) error) error {
	return f.publisher.mark(ctx, states, wanted)
}

// Publish implements evacuation.Fleet.
func (f seams) Publish(ctx context.Context, cause evacuation.Cause) (version uint64, err error) {
	p, err := f.publisher.publish(ctx, edit{cause: Cause{Who: cause.Who, Reason: cause.Reason}})
	if err != nil {
		return 0, err
	}
	return p.m.Version, nil
}

// Missing implements evacuation.Fleet. Those who have gone silent are named as well: the report is to say who they are.
func (f seams) Missing(_ context.Context, version uint64) ([]string, error) {
	behind, lost := f.board.converged(version)
	return append(behind, lost...), nil
}

// Load implements evacuation.Fleet.
func (f seams) Load(cell string) (perSecond float64, known bool) { return f.board.load(cell) }

// Serves implements evacuation.Fleet.
func (f seams) Serves(cell string) bool { return f.board.healthy(cell) }

// plan implements mover.
func (s *Service) plan(ctx context.Context, cell string) (hash string, err error) {
	p, err := s.moves.Plan(ctx, evacuation.Wish{Kind: kindEvacuation, Cells: []string{cell}})
	if err != nil {
		return "", err
	}
	if p.GetRefusalReason() != "" {
		return "", problem.New(problem.Precondition, p.GetRefusalReason(), p.GetRefusal())
	}
	return p.GetHash(), nil
}

// start implements mover.
func (s *Service) start(ctx context.Context, cell, hash string, cause Cause) (id string, err error) {
	e, err := s.moves.Start(ctx, evacuation.Order{
		Wish: evacuation.Wish{Kind: kindEvacuation, Cells: []string{cell}}, Cause: evacuation.Cause{Who: cause.Who, Reason: cause.Reason},
		Hash: hash, ExpiresIn: automaticExpiry, Automatic: true,
	})
	if err != nil {
		return "", err
	}
	return e.GetEvacuationId(), s.recordMove(ctx, "automatic evacuation started", e, cause)
}

// recordMove in the audit trail.
func (s *Service) recordMove(ctx context.Context, action string, e *topologyv1.Evacuation, cause Cause) error {
	subject := e.GetEvacuationId()
	if cells := e.GetPlan().GetCells(); len(cells) > 0 {
		subject += " of " + strings.Join(cells, ", ")
	}
	return record(ctx, s.store.db, change{at: s.deps.Clock.Now(), cause: cause, action: action, subject: subject, version: s.version()})
}

// version of the map in force; 0 before the first.
func (s *Service) version() uint64 {
	if held := s.feed.newest(); held != nil {
		return held.m.Version
	}
	return 0
}

// moveChanged is told of each step of a move. What nobody commanded by this service, ends and returns by time, goes to the
// audit trail from here.
func (s *Service) moveChanged(e *topologyv1.Evacuation) {
	s.deps.Observe.MoveChanged(strings.ToLower(strings.TrimPrefix(e.GetState().String(), "EVACUATION_STATE_")))
	select {
	case s.stepped <- e:
	default:
		s.deps.Log.Warn("too many moves change at once: a step is missing in the audit trail", "move", e.GetEvacuationId(), "state", e.GetState().String())
	}
}

// maxStepped steps of moves wait for the audit trail: a move has ten, and one moves at a time.
const maxStepped = 64

// keepTrail of what moves do, until ctx ends.
func (s *Service) keepTrail(ctx context.Context) {
	told := map[string]topologyv1.EvacuationState{}
	for {
		select {
		case e := <-s.stepped:
			if told[e.GetEvacuationId()] == e.GetState() {
				continue // only its trouble has changed
			}
			told[e.GetEvacuationId()] = e.GetState()
			action := endOf(e)
			if action == "" {
				continue
			}
			delete(told, e.GetEvacuationId())
			if err := s.recordMove(ctx, action, e, Cause{Who: e.GetWho(), Reason: e.GetReason()}); err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "the audit trail lacks a step of a move", "move", e.GetEvacuationId(), "action", action, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// endOf a move in words; empty for a step that is no news, or that a command has told of.
func endOf(e *topologyv1.Evacuation) string {
	kind, state := kindOf(e.GetKind()), e.GetState()
	switch {
	case state == topologyv1.EvacuationState_EVACUATION_STATE_DONE:
		return kind + " done"
	case state == topologyv1.EvacuationState_EVACUATION_STATE_ABORTED:
		return kind + " given up, all is back"
	case state == topologyv1.EvacuationState_EVACUATION_STATE_PLANNED && e.GetAutomatic() && e.GetUndoesId() != "":
		return "automatic undo of " + e.GetUndoesId() + " started"
	default:
		return ""
	}
}

func kindOf(kind topologyv1.EvacuationKind) string {
	return strings.ToLower(strings.TrimPrefix(kind.String(), "EVACUATION_KIND_"))
}

// begun move of a command: into the audit trail, once it is permitted and its version is the one that was seen.
func (s *Service) begun(ctx context.Context, cause Cause, start func(evacuation.Cause) (*topologyv1.Evacuation, error)) (*topologyv1.Evacuation, error) {
	if _, err := s.seen(ctx, cause); err != nil {
		return nil, err
	}
	e, err := start(evacuation.Cause{Who: cause.Who, Reason: cause.Reason})
	if err != nil {
		return nil, err
	}
	return e, s.recordMove(ctx, kindOf(e.GetKind())+" started", e, cause)
}

// leavingOf a request: the cell, or all of the region that own anything.
func (s *Service) leavingOf(cell, region string) ([]string, error) {
	if cell != "" {
		return []string{cell}, nil
	}
	held, err := s.held()
	if err != nil {
		return nil, err
	}
	cells := evacuation.CellsOf(held.m, ident.Region(region))
	if len(cells) == 0 {
		return nil, problem.New(problem.Precondition, "NOTHING_TO_MOVE", fmt.Sprintf("no cell of %s owns anything", region))
	}
	return cells, nil
}

// held map; UNKNOWN_VERSION before the first.
func (s *Service) held() (*publication, error) {
	if held := s.feed.newest(); held != nil {
		return held, nil
	}
	return nil, noMap()
}

func checkLeaving(v *problem.Violations, cell, region string) {
	v.Check((cell == "") != (region == ""), "cell_id", "must name a cell, or else region a region")
	if region != "" {
		_, known := ident.Region(region).Code()
		v.Check(known, "region", fmt.Sprintf("must be one of %v", ident.Regions()))
	}
}

// PlanEvacuation implements TopologyService. A standby plans as well as the leader: nothing is changed.
func (s *Service) PlanEvacuation(ctx context.Context, req *topologyv1.PlanEvacuationRequest) (*topologyv1.PlanEvacuationResponse, error) {
	var v problem.Violations
	checkLeaving(&v, req.GetCellId(), req.GetRegion())
	if err := v.Err(); err != nil {
		return nil, err
	}
	cells, err := s.leavingOf(req.GetCellId(), req.GetRegion())
	if err != nil {
		return nil, err
	}
	p, err := s.moves.Plan(ctx, evacuation.Wish{Kind: kindEvacuation, Cells: cells})
	return &topologyv1.PlanEvacuationResponse{Plan: p}, err
}

// StartEvacuation implements TopologyService.
func (s *Service) StartEvacuation(ctx context.Context, req *topologyv1.StartEvacuationRequest) (*topologyv1.StartEvacuationResponse, error) {
	var v problem.Violations
	checkLeaving(&v, req.GetCellId(), req.GetRegion())
	checkCause(&v, req.GetCause())
	checkExpiry(&v, req.GetExpiresIn())
	v.Check(req.GetPlanHash() != "", "plan_hash", "must be that of the plan that was looked at")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	cells, err := s.leavingOf(req.GetCellId(), req.GetRegion())
	if err != nil {
		return nil, err
	}
	e, err := s.begun(ctx, causeOf(req.GetCause()), func(cause evacuation.Cause) (*topologyv1.Evacuation, error) {
		return s.moves.Start(ctx, evacuation.Order{
			Wish: evacuation.Wish{Kind: kindEvacuation, Cells: cells}, Cause: cause, Hash: req.GetPlanHash(),
			ExpiresIn: req.GetExpiresIn().AsDuration(), OverCapacity: req.GetOverCapacity(),
		})
	})
	return &topologyv1.StartEvacuationResponse{Evacuation: e}, err
}

// GetEvacuation implements TopologyService.
func (s *Service) GetEvacuation(ctx context.Context, req *topologyv1.GetEvacuationRequest) (*topologyv1.GetEvacuationResponse, error) {
	var v problem.Violations
	v.Check(req.GetEvacuationId() != "", "evacuation_id", "must name an evacuation")
	if err := v.Err(); err != nil {
		return nil, err
	}
	e, err := s.moves.Get(ctx, req.GetEvacuationId())
	return &topologyv1.GetEvacuationResponse{Evacuation: e}, err
}

// ListEvacuations implements TopologyService.
func (s *Service) ListEvacuations(ctx context.Context, req *topologyv1.ListEvacuationsRequest) (*topologyv1.ListEvacuationsResponse, error) {
	var v problem.Violations
	limit := listed(&v, req.GetLimit())
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := s.moves.List(ctx, limit)
	return &topologyv1.ListEvacuationsResponse{Evacuations: all}, err
}

// AbortEvacuation implements TopologyService.
func (s *Service) AbortEvacuation(ctx context.Context, req *topologyv1.AbortEvacuationRequest) (*topologyv1.AbortEvacuationResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetEvacuationId() != "", "evacuation_id", "must name an evacuation")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	cause := causeOf(req.GetCause())
	if _, err := s.seen(ctx, cause); err != nil {
		return nil, err
	}
	e, err := s.moves.Abort(ctx, req.GetEvacuationId(), evacuation.Cause{Who: cause.Who, Reason: cause.Reason})
	if err != nil {
		return nil, err
	}
	return &topologyv1.AbortEvacuationResponse{Evacuation: e}, s.takenBack(ctx, kindOf(e.GetKind())+" to be given up", e, e, cause)
}

// UndoEvacuation implements TopologyService.
func (s *Service) UndoEvacuation(ctx context.Context, req *topologyv1.UndoEvacuationRequest) (*topologyv1.UndoEvacuationResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetEvacuationId() != "", "evacuation_id", "must name an evacuation")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	cause := causeOf(req.GetCause())
	if _, err := s.seen(ctx, cause); err != nil {
		return nil, err
	}
	undone, err := s.moves.Get(ctx, req.GetEvacuationId())
	if err != nil {
		return nil, err
	}
	e, err := s.moves.Undo(ctx, req.GetEvacuationId(), evacuation.Cause{Who: cause.Who, Reason: cause.Reason})
	if err != nil {
		return nil, err
	}
	return &topologyv1.UndoEvacuationResponse{Undo: e}, s.takenBack(ctx, "undo of "+undone.GetEvacuationId()+" started", e, undone, cause)
}

// takenBack by a person: into the audit trail. Whoever takes an automatic move back has looked at the cell, so that the next
// one need not wait for that.
func (s *Service) takenBack(ctx context.Context, action string, e, what *topologyv1.Evacuation, cause Cause) error {
	if what.GetAutomatic() {
		if err := s.store.forgetMove(ctx); err != nil {
			return err
		}
	}
	return s.recordMove(ctx, action, e, cause)
}

// PlanRebalance implements TopologyService.
func (s *Service) PlanRebalance(ctx context.Context, req *topologyv1.PlanRebalanceRequest) (*topologyv1.PlanRebalanceResponse, error) {
	if _, err := s.held(); err != nil {
		return nil, err
	}
	p, err := s.moves.Plan(ctx, evacuation.Wish{Kind: kindRebalance, Region: ident.Region(req.GetRegion())})
	return &topologyv1.PlanRebalanceResponse{Plan: p}, err
}

// StartRebalance implements TopologyService.
func (s *Service) StartRebalance(ctx context.Context, req *topologyv1.StartRebalanceRequest) (*topologyv1.StartRebalanceResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetRegion() != "", "region", "must name a region")
	v.Check(req.GetPlanHash() != "", "plan_hash", "must be that of the plan that was looked at")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	e, err := s.begun(ctx, causeOf(req.GetCause()), func(cause evacuation.Cause) (*topologyv1.Evacuation, error) {
		return s.moves.Start(ctx, evacuation.Order{
			Wish: evacuation.Wish{Kind: kindRebalance, Region: ident.Region(req.GetRegion())}, Cause: cause, Hash: req.GetPlanHash(), OverCapacity: req.GetOverCapacity(),
		})
	})
	return &topologyv1.StartRebalanceResponse{Move: e}, err
}

// RevertMap implements TopologyService.
func (s *Service) RevertMap(ctx context.Context, req *topologyv1.RevertMapRequest) (*topologyv1.RevertMapResponse, error) {
	var v problem.Violations
	checkCause(&v, req.GetCause())
	v.Check(req.GetVersion() > 0, "version", "must be a version of the history")
	if err := s.permit(ctx, &v); err != nil {
		return nil, err
	}
	earlier, err := s.publisher.version(ctx, req.GetVersion())
	if err != nil {
		return nil, err
	}
	wish := evacuation.Wish{Kind: kindRevert, Earlier: earlier.m}
	p, err := s.moves.Plan(ctx, wish)
	if err != nil {
		return nil, err
	}
	e, err := s.begun(ctx, causeOf(req.GetCause()), func(cause evacuation.Cause) (*topologyv1.Evacuation, error) {
		return s.moves.Start(ctx, evacuation.Order{Wish: wish, Cause: cause, Hash: p.GetHash()})
	})
	return &topologyv1.RevertMapResponse{Move: e}, err
}
