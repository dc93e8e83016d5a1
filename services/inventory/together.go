package inventory

import (
	"context"
	"sync"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// MaxCommands of one BatchCommand.
const MaxCommands = 100

// BatchCommand implements InventoryService. The commands are begun at once, so that those of one lane share its next
// transaction.
func (s *Service) BatchCommand(ctx context.Context, req *inventoryv1.BatchCommandRequest) (*inventoryv1.BatchCommandResponse, error) {
	var v problem.Violations
	v.Check(len(req.GetCommands()) >= 1 && len(req.GetCommands()) <= MaxCommands, "commands", "must be 1 to 100")
	if err := v.Err(); err != nil {
		return nil, err
	}
	resp := &inventoryv1.BatchCommandResponse{Outcomes: make([]*inventoryv1.Outcome, len(req.GetCommands()))}
	var wg sync.WaitGroup
	for i, cmd := range req.GetCommands() {
		wg.Go(func() { resp.Outcomes[i] = s.outcome(ctx, cmd) })
	}
	wg.Wait()
	return resp, nil
}

// outcome of one command.
func (s *Service) outcome(ctx context.Context, cmd *inventoryv1.Command) *inventoryv1.Outcome {
	var err error
	switch c := cmd.GetCommand().(type) {
	case *inventoryv1.Command_Reserve:
		var resp *inventoryv1.ReserveResponse
		if resp, err = s.Reserve(ctx, c.Reserve); err == nil {
			return &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Reserve{Reserve: resp}}
		}
	case *inventoryv1.Command_Commit:
		var resp *inventoryv1.CommitResponse
		if resp, err = s.Commit(ctx, c.Commit); err == nil {
			return &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Commit{Commit: resp}}
		}
	default:
		err = problem.New(problem.Invalid, "UNKNOWN_COMMAND", "this cell does not know the command")
	}
	if problem.KindOf(err) == problem.Internal {
		s.deps.Log.ErrorContext(ctx, "a command of a batch failed", "error", err)
	}
	return &inventoryv1.Outcome{Outcome: &inventoryv1.Outcome_Refusal{Refusal: problem.Encode(err)}}
}
