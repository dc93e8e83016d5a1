package protocol

import "slices"

// class of a step: who has to do something for it to be taken.
type class uint8

const (
	// serves: cells, routers, clients and the database do so by themselves, sooner or later.
	serves class = iota
	// steers: the control plane and its operator do, as long as there is one.
	steers
	// happens: it may befall, and nothing may rely on it.
	happens
)

// act is what is done in a step.
type act uint8

const (
	clientSends act = iota
	clientSendsAgain
	routerSends
	cellAdmits
	guardReads
	effectIsWritten
	writeCommits
	answerArrives
	redirectArrives
	failureArrives
	sessionIsEnded
	cellFreezes
	cellThaws
	cellDies
	mapArrives
	moveStarts
	moveGoesBack
	driverDies
	driverTakesOver
	driverLooks
	driverReadsRow
	driverRechecks
	driverRecords
	driverFlips
	driverReadsVersion
	driverReadsPhase
	driverReadsRows
	driverPuts
	driverVerifies
	driverEnds
	pinIsAsked
	pinIsChecked
	pinIsSet
	runDoes
	runIsRefused
	runUndoes
	runStores
	cellTakesOver
)

// step of somebody. Which is a request, a version or a run; Where a cell or a slot.
type step struct {
	act          act
	class        class
	who          uint8
	which, where uint8
}

// breach of an invariant by a step, which the state it leads to bears.
type breach uint8

const (
	whole breach = iota
	strangerCommits
	epochFalls
	mapFalls
	viewFalls
)

// Invariants, as they are named in a report.
const (
	OnlyTheOwnerCommits         = "only the owner commits: a write has committed in a cell that does not serve its customer"
	EpochsGrow                  = "epochs grow: a slot's row was changed and its epoch is no greater"
	OneOwnerAnEpoch             = "one owner an epoch: rows and maps tell different things of one epoch of a slot"
	MapsFollowRows              = "maps follow: a newer map says of a slot what is older than what an older map says"
	NoStaleMapWins              = "no stale map wins: somebody who knew better has taken what is older" //nolint:gosec // no credentials: a sentence
	OnceAndForAll               = "once and for all: an acknowledged write is not in the customer's row exactly once"
	EvacuatedIsEmpty            = "evacuated is empty: a cell owns slots and counts as evacuated"
	BackIsHome                  = "back is home: the move has gone back, and a slot is not with its first owner"
	SagaAllOrNothing            = "all or nothing: a saga has ended, and what its steps have done is not all or nothing, once each"
	EverythingEnds              = "everything ends: from here on nothing can end any more though nothing fails"
	ServesWithoutSteering       = "serves without steering: with the control plane gone, a customer of a healthy cell is never served again"
	noInvariant                 = ""
	firstEpoch            uint8 = 1
)

// Broken implements System.
func (m *Model) Broken(s state) string {
	if s.broken != whole {
		return breaches[s.broken]
	}
	for _, rule := range rules {
		if rule.broken(m, &s) && !m.passes(rule.name) {
			return rule.name
		}
	}
	return noInvariant
}

var breaches = map[breach]string{strangerCommits: OnlyTheOwnerCommits, epochFalls: EpochsGrow, mapFalls: MapsFollowRows, viewFalls: NoStaleMapWins}

var rules = []struct {
	name   string
	broken func(*Model, *state) bool
}{
	{OneOwnerAnEpoch, (*Model).disagree},
	{OnceAndForAll, (*Model).notOnce},
	{EvacuatedIsEmpty, func(m *Model, s *state) bool { return s.phase == evacuated && m.owns(s, A) }},
	{BackIsHome, (*Model).notHome},
	{SagaAllOrNothing, func(_ *Model, s *state) bool { return s.saga.halfDone() }},
}

func (m *Model) passes(rule string) bool { return slices.Contains(m.pass, rule) }

// owns tells whether a cell owns a slot.
func (m *Model) owns(s *state, c Cell) bool {
	for i := range m.slots() {
		if s.rows[i].owner() == c {
			return true
		}
	}
	return false
}

// disagree: what two say of the same epoch of a slot is the same.
func (m *Model) disagree(s *state) bool {
	for i := range m.slots() {
		var said [maxEpoch + 1]row
		differs := func(r row) bool {
			before := said[r.epoch()]
			said[r.epoch()] = r
			return r != 0 && before != 0 && before != r
		}
		bad := differs(s.rows[i])
		for v := range s.newest {
			bad = bad || differs(s.maps[v].rows[i])
		}
		for c := range m.Cells {
			bad = bad || differs(s.cells[c].known[i])
		}
		for r := range m.Routers {
			bad = bad || differs(s.routers[r].known[i])
		}
		if bad {
			return true
		}
	}
	return false
}

func (m *Model) notOnce(s *state) bool {
	for r := range m.Requests {
		q := s.requests[r]
		if q.effects > 1 || (q.at == answered && (q.effects != 1 || s.data>>r&1 == 0)) {
			return true
		}
	}
	return false
}

func (m *Model) notHome(s *state) bool {
	for i := range m.slots() {
		if s.phase == back && s.plan>>i&1 != 0 && s.rows[i].owner() != m.Slots[i] {
			return true
		}
	}
	return false
}

func (g *saga) halfDone() bool {
	for _, n := range g.effects {
		if n > 1 || (g.status == done && n != 1) || (g.status == undone && n != 0) {
			return true
		}
	}
	return false
}

// ended tells whether all that was begun has ended, the move has, and all who live have the newest map, which says what the
// rows say.
func (m *Model) ended(s state) bool {
	if (s.phase != evacuated && s.phase != back) || !m.allServed(&s, false) || m.differs(&s, s.phase) {
		return false
	}
	for i := range m.slots() {
		if (s.phase == evacuated && s.rows[i].names(A)) || (!m.NoMaps && !m.converged(&s, i)) {
			return false
		}
	}
	return true
}

// converged tells whether all who live know a slot's row.
func (m *Model) converged(s *state, slot int) bool {
	for c := range m.Cells {
		if s.cells[c].life == running && s.cells[c].known[slot] != s.rows[slot] {
			return false
		}
	}
	for r := range m.Routers {
		if s.routers[r].known[slot] != s.rows[slot] {
			return false
		}
	}
	return true
}

// served tells whether all customers are, as far as they can be with nobody to steer.
func (m *Model) served(s state) bool { return m.allServed(&s, true) }

// allServed: requests are answered and the saga has ended, but for those whose cell has stopped. With nobody to steer, those
// of a customer who was pinned to the cell while it was evacuated wait, too, and those whose routers know only a cell that
// has stopped or is not to be asked.
func (m *Model) allServed(s *state, alone bool) bool {
	waits := func(slot uint8, pinned bool) bool {
		c := s.rows[slot].serving(pinned)
		last := s.version(s.newest)
		known := last.rows[slot].serving(pinned)
		late := s.phase.retires() && s.rows[slot].owner() != A && s.rows[slot].pin() == A
		return m.stopped(s, c) || (alone && (m.stopped(s, known) || (last.retired && known == A && last.rows[slot].owner() != A) || (late && pinned)))
	}
	for i, q := range m.Requests {
		if s.requests[i].at != answered && !waits(q.Slot, q.Pinned) {
			return false
		}
	}
	return !m.Saga || s.saga.status >= done || waits(0, m.SagaOfPinned)
}

func (m *Model) stopped(s *state, c Cell) bool { return s.cells[c].life != running }
