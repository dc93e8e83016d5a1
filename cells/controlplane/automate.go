package controlplane

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// mover moves what automation has decided to.
type mover interface {
	// plan the evacuation of a cell; its hash. A Problem says why it cannot be: no survivor may get more than it can carry.
	plan(ctx context.Context, cell string) (hash string, err error)
	// start what was planned; the id of the move.
	start(ctx context.Context, cell, hash string, cause Cause) (id string, err error)
}

// automation is the loop that decides about cells while this process leads.
type automation struct {
	store store
	feed  *feed
	board *board
	clock clock.Clock
	log   *slog.Logger
	mover mover
	// coolDown between two automatic moves.
	coolDown time.Duration

	lever     lever
	leverAt   time.Time         // when it was read
	refusals  map[string]string // guard by cell that is in the audit trail already
	attempted map[string]time.Time
}

const (
	// leverEvery: how old what is known of the lever may be. Whether it is on is asked again, of the database, with each move.
	leverEvery = time.Second
	// attemptEvery bounds how often a move that was refused is tried again.
	attemptEvery = 5 * time.Second
	// automaticWho is who makes automatic moves.
	automaticWho = "automation"
)

// run until ctx ends. Every start begins with nothing remembered: what counts is in the database.
func (a *automation) run(ctx context.Context) {
	a.reset()
	for {
		if err := a.round(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "automation cannot decide", "error", err)
		}
		if a.clock.Sleep(ctx, probeEvery/2) != nil {
			return
		}
	}
}

func (a *automation) reset() {
	a.refusals, a.attempted, a.leverAt = map[string]string{}, map[string]time.Time{}, time.Time{}
}

// round decides about every cell once, and moves at most one.
func (a *automation) round(ctx context.Context) error {
	held := a.feed.newest()
	if held == nil {
		return nil
	}
	now := a.clock.Now()
	if now.Sub(a.leverAt) >= leverEvery {
		l, err := a.store.readLever(ctx)
		if err != nil {
			return err
		}
		a.lever, a.leverAt = l, now
	}
	s := situation{now: now, m: held.m, probes: a.board.seen(), routers: a.board.routers(), lever: a.lever, coolDown: a.coolDown}
	verdicts := s.decide()
	for _, id := range slices.Sorted(maps.Keys(verdicts)) {
		if verdicts[id].move {
			verdicts[id] = a.move(ctx, id, verdicts[id])
		}
	}
	a.board.decide(verdicts)
	return a.audit(ctx, verdicts, held.m.Version)
}

// move a cell, and tell what became of it.
func (a *automation) move(ctx context.Context, cell string, v verdict) verdict {
	now := a.clock.Now()
	if last, tried := a.attempted[cell]; tried && now.Sub(last) < attemptEvery {
		return a.board.decided()[cell]
	}
	a.attempted[cell] = now
	hash, err := a.mover.plan(ctx, cell)
	if err != nil {
		return a.refused(ctx, cell, v, err)
	}
	claimed, err := a.store.claimMove(ctx, cell, now, a.lever.movedAt)
	a.leverAt = time.Time{} // it has another time now, or had
	if err != nil || !claimed {
		return verdict{guard: guardUnderWay, text: "it fails, but the lever was pulled, or another cell was moved, just now"}
	}
	id, err := a.mover.start(ctx, cell, hash, Cause{Who: automaticWho, Reason: v.text})
	if id == "" { // nothing was moved, so that nothing has to cool down
		if err := a.store.forgetMove(ctx); err != nil {
			a.log.WarnContext(ctx, "a claim could not be taken back", "error", err)
		}
		return a.refused(ctx, cell, v, err)
	}
	a.log.WarnContext(ctx, "a cell is evacuated automatically", "cell", cell, "move", id, "why", v.text)
	return verdict{move: true, text: v.text + " (" + id + ")"}
}

// refused move of a cell: by a rule, or because it could not be done just now.
func (a *automation) refused(ctx context.Context, cell string, v verdict, err error) verdict {
	a.log.ErrorContext(ctx, "a cell that fails cannot be evacuated", "cell", cell, "why", v.text, "error", err)
	if p := problem.As(err); p != nil {
		return verdict{guard: "plan: " + p.Reason, text: "it fails, and its evacuation is refused: " + p.Message}
	}
	return verdict{guard: guardFailed, text: "it fails, and its evacuation could not be started; it is tried again"}
}

// audit what was decided: every move has its own entry, and so has each refusal to move a cell that fails, once while it lasts.
func (a *automation) audit(ctx context.Context, verdicts map[string]verdict, version uint64) error {
	for _, cell := range slices.Sorted(maps.Keys(verdicts)) {
		v := verdicts[cell]
		switch v.guard {
		case guardNone, guardState, guardEmpty, guardTime, guardPlanned, guardUnheard:
			if v.guard == guardNone {
				delete(a.refusals, cell)
			}
			continue
		}
		if a.refusals[cell] == v.guard {
			continue
		}
		err := record(ctx, a.store.db, change{
			at: a.clock.Now(), cause: Cause{Who: automaticWho, Reason: v.text}, action: "automatic evacuation refused: " + v.guard, subject: cell, version: version,
		})
		if err != nil {
			return err
		}
		a.refusals[cell] = v.guard
		a.log.WarnContext(ctx, "a cell that fails is not evacuated", "cell", cell, "guard", v.guard, "why", v.text)
	}
	return nil
}
