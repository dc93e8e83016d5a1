package recovery

import (
	"context"
	"slices"

	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// ListSagas implements RecoveryService.
func (s *Service) ListSagas(ctx context.Context, req *recoveryv1.ListSagasRequest) (*recoveryv1.ListSagasResponse, error) {
	var v problem.Violations
	v.Check(slices.Contains(ident.Regions(), ident.Region(req.GetRing())), "ring", "must be a region")
	status := req.GetStatus()
	if status == recoveryv1.Status_STATUS_UNSPECIFIED {
		status = recoveryv1.Status_STATUS_PARKED
	}
	listed := []recoveryv1.Status{recoveryv1.Status_STATUS_PARKED, recoveryv1.Status_STATUS_RUNNING, recoveryv1.Status_STATUS_UNDOING}
	v.Check(slices.Contains(listed, status), "status", "must be PARKED, RUNNING or UNDOING; sagas that have ended are looked up by their id")
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := s.demos.List(ctx, ident.Region(req.GetRing()), status == recoveryv1.Status_STATUS_PARKED)
	if err != nil {
		return nil, err
	}
	resp := &recoveryv1.ListSagasResponse{}
	for _, l := range all {
		if statuses[l.Status] == status && (req.GetKind() == "" || req.GetKind() == l.Kind) {
			resp.Sagas = append(resp.Sagas, shown(l))
		}
	}
	return resp, nil
}

// GetSaga implements RecoveryService.
func (s *Service) GetSaga(ctx context.Context, req *recoveryv1.GetSagaRequest) (*recoveryv1.GetSagaResponse, error) {
	l, err := s.find(ctx, req.GetSagaId())
	if err != nil {
		return nil, err
	}
	resp := &recoveryv1.GetSagaResponse{Saga: shown(l)}
	engine := s.engineOf(l.Kind)
	if engine == nil {
		return resp, nil
	}
	state, err := engine.State(l.Instance)
	if err != nil {
		return nil, err
	}
	resp.State, err = public(state)
	return resp, err
}

// RetrySaga implements RecoveryService.
func (s *Service) RetrySaga(ctx context.Context, req *recoveryv1.RetrySagaRequest) (*recoveryv1.RetrySagaResponse, error) {
	shown, err := s.change(ctx, req.GetSagaId(), req.GetForwarded(), func(e Engine, l saga.Look) error {
		return e.Retry(ctx, l, saga.Note{Reason: req.GetReason()})
	}, func(p Peer) error {
		_, err := p.RetrySaga(ctx, &recoveryv1.RetrySagaRequest{SagaId: req.GetSagaId(), Reason: req.GetReason(), Forwarded: true})
		return err
	})
	return &recoveryv1.RetrySagaResponse{Saga: shown}, err
}

// UndoSaga implements RecoveryService.
func (s *Service) UndoSaga(ctx context.Context, req *recoveryv1.UndoSagaRequest) (*recoveryv1.UndoSagaResponse, error) {
	shown, err := s.change(ctx, req.GetSagaId(), req.GetForwarded(), func(e Engine, l saga.Look) error {
		return e.Undo(ctx, l, saga.Note{Reason: req.GetReason()})
	}, func(p Peer) error {
		_, err := p.UndoSaga(ctx, &recoveryv1.UndoSagaRequest{SagaId: req.GetSagaId(), Reason: req.GetReason(), Forwarded: true})
		return err
	})
	return &recoveryv1.UndoSagaResponse{Saga: shown}, err
}

// BeginDemo implements RecoveryService.
func (s *Service) BeginDemo(ctx context.Context, req *recoveryv1.BeginDemoRequest) (*recoveryv1.BeginDemoResponse, error) {
	l, err := s.beginDemo(ctx, req.GetPoison())
	if err != nil {
		return nil, err
	}
	return &recoveryv1.BeginDemoResponse{Saga: shown(l)}, nil
}

// ReleaseDemo implements RecoveryService.
func (s *Service) ReleaseDemo(ctx context.Context, req *recoveryv1.ReleaseDemoRequest) (*recoveryv1.ReleaseDemoResponse, error) {
	l, err := s.find(ctx, req.GetSagaId())
	if err != nil {
		return nil, err
	}
	if l.Kind != kindDemo {
		return nil, problem.New(problem.Precondition, "NOT_A_DEMO", "only a demo waits to be released")
	}
	err = s.decide(ctx, l, req.GetForwarded(), func() error { return s.releaseDemo(ctx, l) }, func(p Peer) error {
		_, err := p.ReleaseDemo(ctx, &recoveryv1.ReleaseDemoRequest{SagaId: req.GetSagaId(), Forwarded: true})
		return err
	})
	return &recoveryv1.ReleaseDemoResponse{}, err
}
