package protocol

// sagaGoesOn by its runs, and by cells that take it over.
func (x *stepper) sagaGoesOn() {
	for i := range x.s.runs {
		r := x.s.runs[i]
		if r.at == idle || x.s.cells[r.cell].life != running {
			continue
		}
		by := step{class: serves, who: uint8(r.cell), which: uint8(i), where: r.step}
		switch {
		case r.at == stores:
			by.act = runStores
			x.take(by, func(n *state) { x.store(n, uint8(i)) })
		case r.status == forward:
			x.do(by, uint8(i))
		default:
			by.act = runUndoes
			x.take(by, func(n *state) {
				n.saga.effects[r.step], n.saga.tombs[r.step] = 0, true
				n.runs[i].at = stores
			})
		}
	}
	for c := range x.Cells {
		x.claim(Cell(c))
	}
}

// do a step. It takes effect where no fence is, once under its key, and not after it was undone; and it may be refused.
func (x *stepper) do(by step, i uint8) {
	k := x.s.runs[i].step
	g := &x.s.saga
	dead := g.tombs[k] && !x.NoTombstones
	known := g.effects[k] > 0 && !x.KeylessSteps
	if !dead {
		by.act = runDoes
		x.take(by, func(n *state) {
			if !known {
				n.saga.effects[k]++
			}
			r := &n.runs[i]
			if k+1 < sagaSteps { // quiet: its end is not stored
				r.step++
				return
			}
			r.status, r.at = done, stores
		})
	}
	if !known {
		by.act = runIsRefused
		x.take(by, func(n *state) {
			r := &n.runs[i]
			r.status, r.at = undoing, stores
			if r.swept {
				r.step = sagaSteps - 1 // the run before may have come as far
			}
		})
	}
}

// store what a run has come to: under the fence, and only if it still holds the saga. A run that is not let ends.
func (x *stepper) store(n *state, i uint8) {
	r := &n.runs[i]
	serving := n.rows[0].serving(x.SagaOfPinned)
	says := serving
	if x.Guard == ByMap {
		says = n.cells[r.cell].known[0].serving(x.SagaOfPinned)
	}
	fenced := x.Guard != ByNothing && says != r.cell
	lost := (n.saga.holder != i+1 && !x.NoHolder) || n.saga.status >= done
	if fenced || lost {
		*r = run{}
		return
	}
	if serving != r.cell {
		x.breaks(n, strangerCommits)
	}
	switch {
	case r.status == done:
		n.saga.status, n.saga.step = done, 0
	case n.saga.status == forward: // it has turned back
		n.saga.status, n.saga.step, r.at = undoing, r.step, does
	case r.step > 0:
		r.step, r.at = r.step-1, does
		n.saga.step = r.step
	default:
		n.saga.status, n.saga.step = undone, 0
	}
	if n.saga.status >= done {
		n.saga.holder = 0
		*r = run{}
	}
}

// claim the saga for a cell that serves its customer: one that was held under an older epoch at once, any other when it is
// due. It is due when its run is slow, too.
func (x *stepper) claim(c Cell) {
	g := &x.s.saga
	if x.s.cells[c].life != running || (g.status != forward && g.status != undoing) {
		return
	}
	row := x.s.rows[0]
	list := row
	if x.SweepsByMap {
		list = x.s.cells[c].known[0]
	}
	listed := list.serving(x.SagaOfPinned)
	if x.SweepsBySlot {
		listed = list.owner()
	}
	if listed != c || row.serving(x.SagaOfPinned) != c {
		return
	}
	i := x.room()
	if i < 0 {
		return
	}
	by := step{act: cellTakesOver, class: serves, who: uint8(c), which: uint8(i)}
	if g.epoch == row.epoch() && g.holder > 0 && x.lives(g.holder-1) {
		by.class = happens
	}
	x.take(by, func(n *state) {
		n.saga.holder, n.saga.epoch = uint8(i)+1, row.epoch()
		n.runs[i] = run{at: does, cell: c, status: n.saga.status, step: n.saga.step, swept: true}
	})
}

func (x *stepper) lives(i uint8) bool {
	r := x.s.runs[i]
	return r.at != idle && x.s.cells[r.cell].life == running
}

// room for a run; negative when there is none. One that hangs makes room: it is as good as one that does so for ever.
func (x *stepper) room() int {
	hangs := -1
	for i := range x.Runs {
		if x.s.runs[i].at == idle {
			return i
		}
		if !x.lives(uint8(i)) {
			hangs = i
		}
	}
	return hangs
}
