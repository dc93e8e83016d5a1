package evacuation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cellar-commerce/cellar/internal/fence"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// Names of findings.
const (
	findConverged = "converged"
	findLeft      = "nothing left behind"
	findEpochs    = "epochs"
	findSagas     = "sagas resumed"
	findOldWrites = "no old writes"
)

// verify from the rows that a move is complete, and wait until what was under way has been taken over.
func (m *Moves) verify(ctx context.Context, mv *move) error {
	if _, err := m.flipAll(ctx, mv); err != nil { // an override that somebody made meanwhile
		return err
	}
	slots, err := m.verifySlots(ctx, mv)
	if err != nil {
		return err
	}
	sagas, err := m.verifySagas(ctx, mv)
	if err != nil {
		return err
	}
	found := slices.Concat(slots, sagas)
	mv.e.Findings = append(mv.e.Findings, found...)
	if len(mv.after) > 0 {
		if err := m.announce(ctx, mv, mv.after); err != nil {
			return err
		}
	}
	failing := 0
	for _, f := range found {
		if !f.GetHolds() {
			failing++
		}
	}
	text := fmt.Sprintf("%d checks hold", len(found))
	if failing > 0 {
		text = fmt.Sprintf("%d of %d checks do not hold", failing, len(found))
	}
	return m.advance(ctx, mv, done, text)
}

// verifySlots by the rows: nothing left behind, and every slot that moved has a newer epoch.
func (m *Moves) verifySlots(ctx context.Context, mv *move) ([]*topologyv1.Finding, error) {
	plan := mv.e.GetPlan()
	places := placesOf(plan)
	left := leave(nil, leaving(mv.e))
	var there, elsewhere, behind, old, overrides int64
	for _, ring := range ringsOf(plan, places) {
		rows, err := fence.ReadRing(ctx, m.deps.Customers, ring)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if _, names := left(&rows[i]); names {
				overrides++
			}
			p, planned := places[ring][rows[i].Slot]
			if !planned {
				continue
			}
			switch rows[i].Owner {
			case p.to:
				there++
			case p.from:
				behind++
			default:
				elsewhere++
			}
			if rows[i].Epoch <= p.epoch {
				old++
			}
		}
	}
	text := fmt.Sprintf("of %d slots %d are where they were to go", plan.GetSlots(), there)
	if elsewhere > 0 {
		text += fmt.Sprintf(", %d have been moved on since", elsewhere)
	}
	if behind+overrides > 0 {
		text += fmt.Sprintf(", and %d slots and the overrides of %d are left behind", behind, overrides)
	}
	return []*topologyv1.Finding{
		{Name: findLeft, Holds: behind+overrides == 0 && there+elsewhere == int64(plan.GetSlots()), Checked: int64(plan.GetSlots()), Text: text},
		{Name: findEpochs, Holds: old == 0, Checked: int64(plan.GetSlots()), Text: fmt.Sprintf("%d slots have no newer epoch than before", old)},
	}, nil
}

// verifySagas waits until the new owners have taken over what was under way.
func (m *Moves) verifySagas(ctx context.Context, mv *move) ([]*topologyv1.Finding, error) {
	flipped := mv.e.GetStartedAt().AsTime().Add(mv.e.GetLastOldWrite().AsDuration())
	in := map[ident.Region][]int16{}
	for ring, places := range placesOf(mv.e.GetPlan()) {
		for s := range places {
			in[ring] = append(in[ring], int16(s))
		}
	}
	var behind saga.Behind
	for late := m.deps.Clock.Now().Add(resumeTime); ; {
		behind = saga.Behind{}
		for ring, slots := range in {
			b, err := saga.CountBehind(ctx, m.deps.Customers, ring, slots, flipped)
			if err != nil {
				return nil, err
			}
			behind.Sagas, behind.Written = behind.Sagas+b.Sagas, behind.Written+b.Written
		}
		if behind.Sagas == 0 || !m.deps.Clock.Now().Before(late) {
			break
		}
		if err := m.deps.Clock.Sleep(ctx, resumePoll); err != nil {
			return nil, err
		}
		if err := m.stillWanted(ctx, mv); err != nil {
			return nil, err
		}
	}
	was := mv.e.GetPlan().GetSagasInFlight()
	text := fmt.Sprintf("no saga of these slots is held under an earlier epoch; %d were under way when it was planned", was)
	if behind.Sagas > 0 {
		text = fmt.Sprintf("%d sagas have not been taken over after %s; sweeps go on looking for them", behind.Sagas, resumeTime)
	}
	return []*topologyv1.Finding{
		{Name: findSagas, Holds: behind.Sagas == 0, Checked: was, Text: text},
		{Name: findOldWrites, Holds: behind.Written == 0, Checked: behind.Sagas, Text: fmt.Sprintf("%d sagas that a former owner holds were written after the flip", behind.Written)},
	}, nil
}

// unmet findings, by name; empty when all hold.
func unmet(e *topologyv1.Evacuation) string {
	var names []string
	for _, f := range e.GetFindings() {
		if !f.GetHolds() {
			names = append(names, f.GetName())
		}
	}
	return strings.Join(names, ", ")
}
