package protocol

// Model is a System of a configuration.
type Model struct {
	Config
	pass []string // invariants that are not looked at
}

var _ System[state, step] = (*Model)(nil)

// NewModel of a configuration; what to pass over is for tests that want to see what a defect leads to, and not only that it
// is one.
func NewModel(c Config, pass ...string) *Model { return &Model{Config: c, pass: pass} }

func (m *Model) slots() int { return len(m.Slots) }

// target of a slot that leaves cell a.
func (m *Model) target(slot uint8) Cell {
	if slot > 0 && m.Cells > 2 {
		return C
	}
	return B
}

// Start implements System.
func (m *Model) Start() state { //nolint:revive // a System's caller needs no name for it
	var s state
	for i, owner := range m.Slots {
		s.rows[i] = newRow(firstEpoch, owner, None)
	}
	s.maps[0], s.newest = chart{rows: s.rows}, 1
	for c := range m.Cells {
		s.cells[c].version, s.cells[c].known = 1, s.rows
	}
	for r := range m.Routers {
		s.routers[r].version, s.routers[r].known = 1, s.rows
	}
	s.drivers[0].begun = true
	if m.Saga {
		s.saga = saga{status: forward, epoch: firstEpoch, holder: 1}
		s.runs[0] = run{at: does, cell: m.Slots[0], status: forward}
	}
	return s
}

// stepper of a state: it makes the states that follow.
type stepper struct {
	*Model
	s    state // never changed
	emit func(step, state)
}

// Steps implements System.
func (m *Model) Steps(s state, emit func(step, state)) {
	if s.broken != whole {
		return
	}
	x := &stepper{m, s, emit}
	for r := range m.Requests {
		x.clientAndRouter(uint8(r))
		for t := range s.tries[r] {
			x.tryGoesOn(uint8(r), uint8(t))
		}
	}
	x.cellsStop()
	x.mapsArrive()
	x.operator()
	for d := range m.Drivers {
		x.driverGoesOn(uint8(d))
	}
	x.pins()
	if m.Saga {
		x.sagaGoesOn()
	}
}

// take a step: change is made to a copy of the state.
func (x *stepper) take(by step, change func(n *state)) {
	n := x.s
	change(&n)
	x.emit(by, n)
}

// cellsStop, and go on. One fault is enough.
func (x *stepper) cellsStop() {
	by := step{class: happens, who: uint8(A)}
	switch {
	case x.s.cells[A].life == frozen:
		by.act = cellThaws
		x.take(by, func(n *state) { n.cells[A].life = running })
	case x.s.faulted:
	default:
		if x.Freezes {
			by.act = cellFreezes
			x.take(by, func(n *state) { n.cells[A].life, n.faulted = frozen, true })
		}
		if x.Dies {
			by.act = cellDies
			x.take(by, x.die)
		}
	}
}

// die: cell a's sessions end with it, and whoever waits for it hears of that.
func (x *stepper) die(n *state) {
	n.cells[A], n.faulted = cell{life: dead}, true
	for r := range n.tries {
		for t := range n.tries[r] {
			if n.tries[r][t].at == none || n.tries[r][t].cell != A {
				continue
			}
			n.tries[r][t] = try{}
			if t == 0 {
				n.requests[r].at = routed
			}
		}
	}
	for i := range n.runs {
		if n.runs[i].at != idle && n.runs[i].cell == A {
			n.runs[i] = run{}
		}
	}
}

// mapsArrive at cells and routers: the newest sooner or later, others perhaps.
func (x *stepper) mapsArrive() {
	for v := uint8(1); v <= x.s.newest && !x.NoMaps; v++ {
		by := step{act: mapArrives, class: serves, which: v}
		if v < x.s.newest {
			by.class = happens
			if !x.LateMaps {
				continue
			}
		}
		for c := range x.Cells {
			if has := x.s.cells[c].version; x.s.cells[c].life == running && (v > has || (x.TakesOlderMaps && v != has)) {
				by.who, by.where = uint8(c), 0
				x.take(by, func(n *state) { x.cellTakes(n, uint8(c), v) })
			}
		}
		for r := range x.Routers {
			if has := x.s.routers[r].version; v > has || (x.TakesOlderMaps && v != has) {
				by.who, by.where = uint8(r), 1
				x.take(by, func(n *state) { x.routerTakes(n, uint8(r), v) })
			}
		}
	}
}

// cellTakes a map: of each slot what is newer than it knows already.
func (x *stepper) cellTakes(n *state, c, v uint8) {
	n.cells[c].version = v
	for i := range x.slots() {
		r := n.version(v).rows[i]
		if x.TakesOlderMaps && r.epoch() < n.cells[c].known[i].epoch() {
			x.breaks(n, viewFalls)
		}
		if x.TakesOlderMaps || r.epoch() > n.cells[c].known[i].epoch() {
			x.learns(n, Cell(c), uint8(i), r)
		}
	}
}

// learns of a row; what it remembers goes with the ownership.
func (x *stepper) learns(n *state, c Cell, slot uint8, r row) {
	n.cells[c].known[slot] = r
	if slot == 0 && r.owner() != c {
		n.cells[c].memory, n.cells[c].memoryEpoch = 0, 0
	}
}

// routerTakes a map whole; hints that are newer stay.
func (x *stepper) routerTakes(n *state, r, v uint8) {
	t := &n.routers[r]
	was := *t
	t.version, t.known, t.retired = v, n.version(v).rows, n.version(v).retired
	for i := range x.slots() {
		if t.hints[i].epoch() <= t.known[i].epoch() {
			t.hints[i] = 0
		}
		if max(t.hints[i].epoch(), t.known[i].epoch()) < max(was.hints[i].epoch(), was.known[i].epoch()) {
			x.breaks(n, viewFalls)
		}
	}
}

// change a row.
func (x *stepper) change(n *state, slot uint8, to row) {
	if to.epoch() <= n.rows[slot].epoch() {
		x.breaks(n, epochFalls)
	}
	n.rows[slot] = to
}

// breaks an invariant, if it is looked at.
func (x *stepper) breaks(n *state, b breach) {
	if !x.passes(breaches[b]) {
		n.broken = b
	}
}

// locked tells whether somebody shares the lock on a slot's row.
func (x *stepper) locked(slot uint8) bool {
	if x.Guard != ByRow || x.FlipIgnoresLocks {
		return false
	}
	for r, q := range x.Requests {
		for _, t := range x.s.tries[r] {
			if q.Slot == slot && (t.at == guarded || t.at == written) {
				return true
			}
		}
	}
	return false
}
