package evacuation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// lookEvery bounds how late a leader finds what another has left, or what has expired. Moves that are started in this
	// process are not waited for.
	lookEvery = 250 * time.Millisecond
	// firstPause after a step that failed doubles up to maxPause: a move must not wait for long, nor beat on what is down.
	firstPause = 20 * time.Millisecond
	maxPause   = time.Second
	// convergeTime is how long routers and cells are awaited. Who has not got the map by then, because it is dead, hung or
	// cut off, is named; the fence holds without it.
	convergeTime = 2 * time.Second
	convergePoll = 20 * time.Millisecond
	// resumeTime is how long the new owners may take to find the sagas that are under way: their sweeps come every few
	// seconds, and take so many at a time.
	resumeTime = 30 * time.Second
	resumePoll = 100 * time.Millisecond
)

// phaseOf a state: what is under way in it.
var phaseOf = map[topologyv1.EvacuationState]string{
	planned: "mark", flipping: "flip", publishing: "publish", converging: "converge", verifying: "verify", aborting: "return",
}

// Run drives whatever has not ended, until ctx ends: for a leader. Should two processes believe to lead, they do no harm.
func (m *Moves) Run(ctx context.Context) {
	var drivers sync.WaitGroup
	defer drivers.Wait()
	for ctx.Err() == nil {
		m.look(ctx, &drivers)
		m.expire(ctx)
		m.endStrayOverrides(ctx)
		m.pause(ctx, lookEvery)
	}
}

// pause until something is started, or d is over.
func (m *Moves) pause(ctx context.Context, d time.Duration) {
	waiting, wake := context.WithCancel(ctx)
	defer wake()
	go func() {
		select {
		case <-m.kick:
			wake()
		case <-waiting.Done():
		}
	}()
	_ = m.deps.Clock.Sleep(waiting, d) // either is a reason to look
}

// look for moves that nobody here drives.
func (m *Moves) look(ctx context.Context, drivers *sync.WaitGroup) {
	open, err := m.store.open(ctx)
	if err != nil {
		m.complain(ctx, "moves cannot be read", "", err)
		return
	}
	for _, id := range open {
		if m.begin(id) {
			drivers.Go(func() {
				defer m.leave(id)
				m.drive(ctx, id)
			})
		}
	}
}

func (m *Moves) begin(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.driving[id] {
		return false
	}
	m.driving[id] = true
	return true
}

func (m *Moves) leave(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.driving, id)
}

// complain about something once, until it is another.
func (m *Moves) complain(ctx context.Context, what, id string, err error) {
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	known := m.told[what+id] == err.Error()
	m.told[what+id] = err.Error()
	m.mu.Unlock()
	if !known {
		m.deps.Log.WarnContext(ctx, what, "move", id, "error", err)
	}
}

// drive a move to its end, or until ctx ends.
func (m *Moves) drive(ctx context.Context, id string) {
	pause := firstPause
	for ctx.Err() == nil {
		mv, err := m.store.get(ctx, id)
		if err == nil && mv.e.GetEndedAt() != nil {
			return
		}
		if err == nil {
			err = m.step(ctx, mv)
		}
		if err == nil || errors.Is(err, errOvertaken) {
			pause = firstPause
			continue
		}
		m.complain(ctx, "a move of slots does not go on; it is tried again", id, err)
		m.note(ctx, id, err)
		if m.deps.Clock.Sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// step of a move, by its state. Each may be done twice, and by two drivers at once.
func (m *Moves) step(ctx context.Context, mv *move) error {
	switch mv.e.GetState() {
	case planned:
		return m.mark(ctx, mv)
	case flipping:
		return m.flip(ctx, mv)
	case publishing:
		return m.publish(ctx, mv)
	case converging:
		return m.converge(ctx, mv)
	case verifying:
		return m.verify(ctx, mv)
	case aborting:
		return m.giveBack(ctx, mv)
	default:
		return fmt.Errorf("evacuation: %s is %s, and has not ended", mv.id(), mv.e.GetState())
	}
}

// note in the row why a move does not go on.
func (m *Moves) note(ctx context.Context, id string, cause error) {
	text := "INTERNAL: the log of the control plane says more"
	if p := problem.As(cause); p != nil {
		text = p.Reason + ": " + p.Message
	}
	mv, err := m.store.get(ctx, id)
	if err != nil || mv.e.GetTrouble() == text || mv.e.GetEndedAt() != nil {
		return
	}
	mv.e.Trouble = text
	if save(ctx, m.deps.Global, mv) == nil {
		m.deps.Changed(mv.e)
	}
}

// endPhase of a move now; it began when the one before ended.
func (m *Moves) endPhase(e *topologyv1.Evacuation, name, text string) {
	began := e.GetStartedAt().AsTime()
	if n := len(e.GetPhases()); n > 0 {
		last := e.GetPhases()[n-1]
		began = last.GetBeganAt().AsTime().Add(last.GetTook().AsDuration())
	}
	took := max(m.deps.Clock.Now().Sub(began), 0) // another machine's clock may be ahead
	e.Phases = append(e.Phases, &topologyv1.Phase{Name: name, BeganAt: timestamp(began), Took: durationpb.New(took), Text: text})
}

// advance a move to its next state: the phase that ends has done what text says.
func (m *Moves) advance(ctx context.Context, mv *move, next topologyv1.EvacuationState, text string) error {
	if err := m.at(ctx, "before "+stateName(next)); err != nil {
		return err
	}
	m.endPhase(mv.e, phaseOf[mv.e.GetState()], text)
	mv.e.State, mv.e.Trouble = next, ""
	var err error
	switch next {
	case done, aborted:
		mv.e.EndedAt = timestamp(m.deps.Clock.Now())
		err = m.deps.Global.InTx(ctx, func(tx sqldb.Tx) error {
			copied := *mv
			if err := save(ctx, tx, &copied); err != nil {
				return err
			}
			return endUndone(ctx, tx, mv.e, next == done)
		})
	default:
		err = save(ctx, m.deps.Global, mv)
	}
	if err != nil {
		return err
	}
	m.deps.Log.InfoContext(ctx, "a move of slots goes on", "move", mv.id(), "state", stateName(next), "done", text)
	m.deps.Changed(mv.e)
	return m.at(ctx, "after "+stateName(next))
}

func states(of map[string]string) map[string]topology.State {
	all := map[string]topology.State{}
	for id, s := range of {
		all[id] = topology.State(s)
	}
	return all
}

// because is the cause of what a move changes beside slots.
func because(e *topologyv1.Evacuation) Cause {
	reason := fmt.Sprintf("%s %s: %s", strings.ToLower(nameOf(e.GetKind())), e.GetEvacuationId(), e.GetReason())
	if len(reason) > maxCause {
		reason = strings.ToValidUTF8(reason[:maxCause], "")
	}
	return Cause{Who: e.GetWho(), Reason: reason}
}

// mark cells: those that are left get nothing new, and those that get slots back are asked again before they have any.
func (m *Moves) mark(ctx context.Context, mv *move) error {
	if mv.e.GetKind() != undo {
		leaving := map[string]topology.State{}
		for id := range mv.before {
			leaving[id] = topology.Draining
		}
		if len(leaving) > 0 {
			if err := m.at(ctx, "mark"); err != nil {
				return err
			}
			if err := m.deps.Fleet.Mark(ctx, leaving, because(mv.e), inState(mv)); err != nil {
				return err
			}
		}
		return m.advance(ctx, mv, flipping, fmt.Sprintf("marked %d cells as draining", len(leaving)))
	}
	if err := m.announce(ctx, mv, mv.after); err != nil {
		return err
	}
	return m.advance(ctx, mv, flipping, fmt.Sprintf("announced that %d cells serve again", len(mv.after)))
}

// announce states of cells, so that routers know them.
func (m *Moves) announce(ctx context.Context, mv *move, wanted map[string]string) error {
	if len(wanted) == 0 {
		return nil
	}
	if err := m.at(ctx, "mark"); err != nil {
		return err
	}
	if err := m.deps.Fleet.Mark(ctx, states(wanted), because(mv.e), inState(mv)); err != nil {
		return err
	}
	if err := m.at(ctx, "marked"); err != nil {
		return err
	}
	_, err := m.deps.Fleet.Publish(ctx, because(mv.e))
	return err
}

// publish the map that has the new owners.
func (m *Moves) publish(ctx context.Context, mv *move) error {
	version, err := m.deps.Fleet.Publish(ctx, because(mv.e))
	if err != nil {
		return err
	}
	mv.version = version
	return m.advance(ctx, mv, converging, fmt.Sprintf("published map %d", version))
}

// converge: wait for those who need the map, but for nobody who is not there.
func (m *Moves) converge(ctx context.Context, mv *move) error {
	missing, excused, err := m.await(ctx, mv)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("routers and cells have map %d", mv.version)
	if len(missing) > 0 {
		text = fmt.Sprintf("without map %d so far: %s; whoever asks the former owner is redirected by the fence", mv.version, strings.Join(missing, ", "))
	}
	if len(excused) > 0 {
		text += "; not awaited, as slots have left it: " + strings.Join(excused, ", ")
	}
	mv.e.Findings = append(mv.e.Findings, &topologyv1.Finding{Name: findConverged, Holds: len(missing) == 0, Checked: 1, Text: text})
	return m.advance(ctx, mv, verifying, text)
}

// await the map everywhere, for convergeTime: who does not have it, and who need not.
func (m *Moves) await(ctx context.Context, mv *move) (missing, excused []string, err error) {
	for late := m.deps.Clock.Now().Add(convergeTime); ; {
		all, err := m.deps.Fleet.Missing(ctx, mv.version)
		if err != nil {
			return nil, nil, err
		}
		missing, excused = nil, nil
		for _, name := range all {
			if slices.Contains(leaving(mv.e), name) {
				excused = append(excused, name)
			} else {
				missing = append(missing, name)
			}
		}
		if len(missing) == 0 || !m.deps.Clock.Now().Before(late) {
			return missing, excused, nil
		}
		if err := m.deps.Clock.Sleep(ctx, convergePoll); err != nil {
			return nil, nil, err
		}
	}
}

// expire undoes what was to be for a while only, where the cells are well and nobody has decided otherwise.
func (m *Moves) expire(ctx context.Context) {
	due, err := m.store.expired(ctx, m.deps.Clock.Now())
	if err != nil {
		m.complain(ctx, "moves that have expired cannot be read", "", err)
	}
	for _, id := range due {
		if _, err := m.undo(ctx, id, Cause{Who: "cellar", Reason: "the evacuation has expired"}, true); err != nil {
			m.complain(ctx, "an evacuation has expired and is not undone", id, err)
			m.noteExpired(ctx, id, err)
		}
	}
}

// noteExpired: why a move that has expired still stands.
func (m *Moves) noteExpired(ctx context.Context, id string, cause error) {
	p := problem.As(cause)
	mv, err := m.store.get(ctx, id)
	if p == nil || err != nil || mv.e.GetState() != done {
		return
	}
	if text := "expired, and not undone: " + p.Message; mv.e.GetTrouble() != text {
		mv.e.Trouble = text
		_ = save(ctx, m.deps.Global, mv) // the next look tries again
	}
}
