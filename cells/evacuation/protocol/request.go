package protocol

// clientAndRouter of a request.
func (x *stepper) clientAndRouter(r uint8) {
	q := &x.s.requests[r]
	switch q.at {
	case unsent:
		x.take(step{act: clientSends, class: serves, who: r}, func(n *state) { n.requests[r].at = routed })
	case routed:
		x.send(r, x.route(r))
	case followed:
		if x.mayAsk(r, q.named) {
			x.send(r, q.named)
		} else {
			x.take(step{act: routerSends, class: serves, who: r, where: uint8(None)}, func(n *state) { n.requests[r] = request{at: routed, effects: q.effects} })
		}
	case inCell:
		x.losePatience(r)
	}
}

// route a request by the router's map, or what it has been told since.
func (x *stepper) route(r uint8) Cell {
	q := x.Requests[r]
	t := &x.s.routers[q.Router]
	if hint := t.hints[q.Slot]; hint != 0 && (x.WaitsForHints || hint.owner() != A || !t.retired) && (x.HintsWithoutEpochs || hint.epoch() > t.known[q.Slot].epoch()) {
		return hint.owner()
	}
	return t.known[q.Slot].serving(q.Pinned)
}

// mayAsk a cell: it is to be asked, by the router's map, and can be reached.
func (x *stepper) mayAsk(r uint8, c Cell) bool {
	return c != None && (c != A || !x.s.routers[x.Requests[r].Router].retired) && x.s.cells[c].life != dead
}

// send a request to a cell. One that is not reached, or not to be asked, is waited for.
func (x *stepper) send(r uint8, c Cell) {
	if !x.mayAsk(r, c) {
		return
	}
	x.take(step{act: routerSends, class: serves, who: r, where: uint8(c)}, func(n *state) {
		n.requests[r].at, n.requests[r].named = inCell, 0
		n.tries[r][0] = try{at: arrived, cell: c}
	})
}

// losePatience with a try, which goes on all the same; the client asks again with the same key. Of the tries that nobody
// waits for only the last goes on: one that stops for ever between two transactions is as good as gone.
func (x *stepper) losePatience(r uint8) {
	t, zombie := x.s.tries[r][0], x.s.tries[r][1]
	if zombie.at == guarded || zombie.at == written || (!x.Zombies && x.s.cells[t.cell].life == running) {
		return
	}
	by := step{act: clientSendsAgain, class: happens, who: r}
	if x.s.cells[t.cell].life != running {
		by.class = serves
	}
	x.take(by, func(n *state) {
		n.tries[r] = [2]try{{}, t}
		n.requests[r].at, n.requests[r].hop = routed, false
	})
}

// tryGoesOn in its cell; also when nobody waits for it any more.
func (x *stepper) tryGoesOn(r, at uint8) {
	t := x.s.tries[r][at]
	if t.at == none {
		return
	}
	by := step{class: serves, who: uint8(t.cell), which: r, where: at}
	x.endSession(by, r, at)
	if x.s.cells[t.cell].life != running {
		return
	}
	switch t.at {
	case arrived:
		by.act = cellAdmits
		x.take(by, func(n *state) { x.admit(n, r, &n.tries[r][at]) })
	case admitted:
		by.act = guardReads
		x.take(by, func(n *state) { x.guard(n, r, &n.tries[r][at]) })
	case guarded:
		if x.s.tries[r][1-at].at == written {
			return // the other holds the key, until it ends
		}
		by.act = effectIsWritten
		x.take(by, func(n *state) { n.tries[r][at].at = written })
	case written:
		by.act = writeCommits
		x.take(by, func(n *state) { x.commit(n, r, &n.tries[r][at]) })
	default:
		x.answer(by, r, at)
	}
}

// admit a request, or say who serves the customer.
func (x *stepper) admit(n *state, r uint8, t *try) {
	q := x.Requests[r]
	known := n.cells[t.cell].known[q.Slot]
	if known.serving(q.Pinned) != t.cell && !x.RefusesByMap {
		known = n.rows[q.Slot]
		x.learns(n, t.cell, q.Slot, known)
	}
	if known.serving(q.Pinned) != t.cell {
		t.refuse(known, q.Pinned)
		return
	}
	t.at = admitted
	x.remember(n, t.cell, q.Slot)
}

// refuse with a redirect.
func (t *try) refuse(known row, pinned bool) {
	t.at, t.says = refused, newRow(known.epoch(), known.serving(pinned), None)
}

// remember the customer's row, unless the cell does already.
func (x *stepper) remember(n *state, c Cell, slot uint8) {
	if (!x.Remembers && !x.RemembersByEpoch) || slot != 0 {
		return
	}
	if n.cells[c].memoryEpoch == 0 {
		n.cells[c].memory, n.cells[c].memoryEpoch = n.data, n.rows[slot].epoch()
	}
}

// guard of the transaction.
func (x *stepper) guard(n *state, r uint8, t *try) {
	q := x.Requests[r]
	truth := n.rows[q.Slot]
	if x.Guard == ByMap {
		truth = n.cells[t.cell].known[q.Slot]
	}
	if x.Guard != ByNothing && truth.serving(q.Pinned) != t.cell {
		t.refuse(truth, q.Pinned)
		if truth.epoch() > n.cells[t.cell].known[q.Slot].epoch() {
			x.learns(n, t.cell, q.Slot, truth)
		}
		return
	}
	t.at = guarded
	if x.RemembersByEpoch && n.cells[t.cell].memoryEpoch != truth.epoch() {
		n.cells[t.cell].memoryEpoch = 0
		x.remember(n, t.cell, q.Slot)
	}
}

// commit the write; under a key that is there already it changes nothing.
func (x *stepper) commit(n *state, r uint8, t *try) {
	q := x.Requests[r]
	t.at = committed
	if n.rows[q.Slot].serving(q.Pinned) != t.cell {
		x.breaks(n, strangerCommits)
	}
	if n.requests[r].effects > 0 && !x.KeylessWrites {
		return
	}
	n.requests[r].effects = min(n.requests[r].effects+1, 2)
	if (x.Remembers || x.RemembersByEpoch) && q.Slot == 0 {
		x.remember(n, t.cell, q.Slot) // it may have been told to forget, but not in the middle of a transaction
		c := &n.cells[t.cell]
		c.memory |= 1 << r
		n.data = c.memory
		return
	}
	n.data |= 1 << r
}

// answer of a try; heard only if it is still waited for.
func (x *stepper) answer(by step, r, at uint8) {
	t := x.s.tries[r][at]
	by.act = map[uint8]act{committed: answerArrives, refused: redirectArrives, failed: failureArrives}[t.at]
	x.take(by, func(n *state) {
		n.tries[r][at] = try{}
		q := &n.requests[r]
		switch {
		case at != 0:
		case t.at == committed:
			*q = request{at: answered, effects: q.effects}
		case t.at == failed:
			q.at, q.hop = routed, false
		default:
			x.redirect(n, r, t.says)
		}
	})
}

// redirect heard: learnt when it is newer than the map, and followed; the second in a row waits, and asks the map again.
func (x *stepper) redirect(n *state, r uint8, says row) {
	slot := x.Requests[r].Slot
	t := &n.routers[x.Requests[r].Router]
	known := max(t.hints[slot].epoch(), t.known[slot].epoch())
	if x.HintsWithoutEpochs {
		if says.epoch() < known {
			x.breaks(n, viewFalls)
		}
		t.hints[slot] = says
	} else if says.epoch() > known && (says.owner() != A || !t.retired) {
		t.hints[slot] = says
	}
	q := &n.requests[r]
	if q.hop {
		*q = request{at: routed, effects: q.effects}
		return
	}
	*q = request{at: followed, named: says.owner(), hop: true, effects: q.effects}
}

// endSession of a write that somebody waits for: whoever hangs has its transaction rolled back after a while.
func (x *stepper) endSession(by step, r, at uint8) {
	t := x.s.tries[r][at]
	if x.Guard != ByRow || (t.at != guarded && t.at != written) || !x.waitedFor(x.Requests[r].Slot) {
		return
	}
	by.act = sessionIsEnded
	if x.s.cells[t.cell].life == running {
		by.class = happens
	}
	x.take(by, func(n *state) { n.tries[r][at].at = failed })
}

// waitedFor tells whether somebody waits to change a slot's row.
func (x *stepper) waitedFor(slot uint8) bool {
	for _, d := range x.s.drivers {
		if d.at == flips && d.slot == slot {
			return true
		}
	}
	return slot == 0 && x.s.pinning && x.s.checked
}
