package protocol

// operator starts the evacuation of cell a, and may want it back.
func (x *stepper) operator() {
	by := step{class: steers}
	switch {
	case x.s.phase == planned:
		by.act = moveStarts
		x.take(by, func(n *state) {
			n.phase = flipping
			if x.PublishesFirst {
				n.phase = publishing
			}
			for i := range x.slots() {
				if n.rows[i].names(A) {
					n.plan |= 1 << i
				}
				if x.ComparesWithPlan {
					n.seen[i] = n.rows[i]
				}
			}
		})
	case x.Back && x.s.phase <= evacuated && x.s.cells[A].life == running:
		by.act, by.class = moveGoesBack, happens
		x.take(by, func(n *state) {
			n.phase = announcing
			if x.ReturnsUnannounced {
				n.phase = returning
			}
		})
	}
}

// driverGoesOn by one step.
func (x *stepper) driverGoesOn(who uint8) {
	d := x.s.drivers[who]
	by := step{class: steers, who: who}
	if !d.begun {
		by.act = driverTakesOver
		if x.s.drivers[0].life == running {
			by.class = happens // the first only seems to be dead
		}
		x.take(by, func(n *state) { n.drivers[who].begun = true })
		return
	}
	if d.life == dead {
		return
	}
	if x.DriverDies && who == 0 {
		x.take(step{act: driverDies, class: happens, who: who}, func(n *state) { n.drivers[who] = driver{begun: true, life: dead} })
	}
	switch d.at {
	case looks:
		if at := x.work(); at != looks {
			by.act = driverLooks
			x.take(by, func(n *state) {
				n.drivers[who] = driver{begun: true, at: at, phase: n.phase}
				x.hurry(n, &n.drivers[who])
			})
		}
	case flips:
		by.act, by.where = driverFlips, d.slot
		if !x.locked(d.slot) {
			x.take(by, func(n *state) {
				x.driverFlips(n, &n.drivers[who])
				x.hurry(n, &n.drivers[who])
			})
		}
	default:
		by.act, by.where = driverActs[d.at], d.slot
		x.take(by, func(n *state) {
			driverWork[d.at](x, n, &n.drivers[who])
			x.hurry(n, &n.drivers[who])
		})
	}
}

var driverActs = [...]act{
	readsRow: driverReadsRow, rechecks: driverRechecks, records: driverRecords, readsVersion: driverReadsVersion,
	readsPhase: driverReadsPhase, readsRows: driverReadsRows, puts: driverPuts, verifies: driverVerifies, ends: driverEnds,
}

var driverWork = [...]func(*stepper, *state, *driver){
	readsRow: (*stepper).readRow, rechecks: (*stepper).recheck, records: (*stepper).record, readsVersion: (*stepper).readVersion,
	readsPhase: (*stepper).readPhase, readsRows: (*stepper).readRows, puts: (*stepper).put, verifies: (*stepper).verify, ends: (*stepper).end,
}

// hurry through the reads of a driver, where that is asked for. It stops before what others can see.
func (x *stepper) hurry(n *state, d *driver) {
	for x.Hurries && d.at != looks && d.at != flips && d.at != puts && d.at != records {
		driverWork[d.at](x, n, d)
	}
}

// work that there is for a driver, by the phase of the move.
func (x *stepper) work() uint8 {
	switch x.s.phase {
	case flipping, returning:
		return readsRow
	case publishing, retiring, announcing, republishing:
		return readsVersion
	case verifying:
		return verifies
	case evacuated:
		if !x.KeepsPins && x.pinned(A) {
			return readsRow
		}
	default:
	}
	if !x.PublishesOnce && x.differs(&x.s, x.s.phase) {
		return readsVersion
	}
	return looks
}

func (x *stepper) pinned(c Cell) bool {
	for i := range x.slots() {
		if x.s.rows[i].pin() == c {
			return true
		}
	}
	return false
}

// differs tells whether a new map would say something else.
func (m *Model) differs(s *state, p phase) bool {
	return *s.version(s.newest) != (chart{s.rows, p.retires()})
}

// retires: cell a is not to be asked.
func (p phase) retires() bool { return p == retiring || p == evacuated }

// readRow of the next slot that has to change; at the end of the list the phase ends.
func (x *stepper) readRow(n *state, d *driver) {
	if int(d.slot) == x.slots() {
		d.at, d.slot = ends, 0
		return
	}
	d.read = n.rows[d.slot]
	to, change := x.wanted(n, d)
	if !change {
		d.slot, d.read = d.slot+1, 0
		return
	}
	d.to = to
	d.at = rechecks
	if x.StateBeforeRow {
		d.at = flips
	}
}

// wanted row of a slot, by what the driver knows.
func (x *stepper) wanted(n *state, d *driver) (to row, change bool) {
	r, target := d.read, x.target(d.slot)
	inPlan := n.plan>>d.slot&1 != 0
	owner, pin, epoch := r.owner(), r.pin(), r.epoch()+1
	switch d.phase {
	case flipping, evacuated:
		if (x.BelievesRecord && n.moved>>d.slot&1 != 0) || (x.ComparesWithPlan && r != n.seen[d.slot]) {
			return r, false
		}
		change = (inPlan && owner == A) || pin == A
		if owner == A {
			owner = target
		}
		if pin == A {
			pin = None
		}
	case returning:
		home := x.Slots[d.slot]
		moved, unmoved := owner == target && owner != home, owner == home && !x.LeavesUnmoved && !x.ReusesEpochs
		change = inPlan && (moved || unmoved)
		owner = home
		if x.ReusesEpochs {
			epoch = r.epoch() - 1
		}
	default: // nothing is flipped then
	}
	if !change {
		return r, false
	}
	return newRow(epoch, owner, pin), true
}

// recheck that the move is still wanted, after the row was read: if not by now, the row will have another epoch.
func (x *stepper) recheck(n *state, d *driver) {
	switch {
	case n.phase != d.phase:
		*d = driver{begun: true}
	case x.BelievesRecord && d.phase == flipping:
		d.at = records
	default:
		d.at = flips
	}
}

// record progress before it is made, where it is believed.
func (x *stepper) record(n *state, d *driver) {
	n.moved |= 1 << d.slot
	d.at = flips
}

// driverFlips a row, if it is still what was read.
func (x *stepper) driverFlips(n *state, d *driver) {
	now, to := n.rows[d.slot], d.to
	same := now == d.read || x.FlipsBlindly || (x.ComparesOwnerOnly && now.owner() == d.read.owner())
	if same && now != d.read {
		to = newRow(now.epoch()+1, to.owner(), to.pin())
	}
	if same {
		x.change(n, d.slot, to)
	}
	if same && d.phase == returning {
		d.slot++ // a second look would find nothing else to change than the epoch
	}
	d.at, d.read, d.to = readsRow, 0, 0
}

// readVersion first, then what the map will say: a map is only made if none was made since.
func (x *stepper) readVersion(n *state, d *driver) { d.version, d.at = n.newest, readsPhase }

func (x *stepper) readPhase(n *state, d *driver) { d.next.retired, d.at = n.phase.retires(), readsRows }

func (x *stepper) readRows(n *state, d *driver) {
	d.next.rows, d.at = n.rows, puts
	if x.PublishesFirst && d.phase == publishing {
		for i := range x.slots() {
			seen := driver{phase: flipping, slot: uint8(i), read: n.rows[i]}
			if to, change := x.wanted(n, &seen); change {
				d.next.rows[i] = to
			}
		}
	}
}

// put a new map after the version that was read.
func (x *stepper) put(n *state, d *driver) {
	if x.VersionReadLast {
		d.version = n.newest
	}
	if d.version != n.newest {
		*d = driver{begun: true, at: readsVersion, phase: d.phase}
		return
	}
	if last := *n.version(n.newest); last != d.next {
		if n.newest == maxVersions {
			panic("protocol: the configuration needs more versions than a state can hold")
		}
		for i := range x.slots() {
			if d.next.rows[i].epoch() < last.rows[i].epoch() {
				x.breaks(n, mapFalls)
			}
		}
		n.maps[n.newest] = d.next
		n.newest++
	}
	*d = driver{begun: true, at: ends, phase: d.phase}
}

// verify that the cell has nothing any more.
func (x *stepper) verify(n *state, d *driver) {
	d.fine, d.at = true, ends
	for i := range x.slots() {
		if n.rows[i].names(A) && !x.BelievesRecord {
			d.fine = false
		}
	}
}

// end of a phase, if it is still that.
func (x *stepper) end(n *state, d *driver) {
	next := map[phase]phase{
		flipping: publishing, publishing: verifying, verifying: retiring, retiring: evacuated,
		announcing: returning, returning: republishing, republishing: back,
	}
	if x.PublishesFirst {
		next[publishing], next[flipping] = flipping, verifying
	}
	to, goesOn := next[d.phase]
	if d.phase == verifying && !d.fine {
		to = flipping
	}
	if goesOn && n.phase == d.phase {
		n.phase = to
	}
	*d = driver{begun: true}
}

// pins of customers are set by the control plane at any time.
func (x *stepper) pins() {
	by := step{class: steers}
	switch {
	case !x.s.pinning && int(x.s.pins) < len(x.Pins):
		by.act, by.class = pinIsAsked, happens
		x.take(by, func(n *state) { n.pinning, n.pinRead = true, n.rows[0] })
	case x.s.pinning && !x.s.checked:
		by.act = pinIsChecked
		x.take(by, func(n *state) {
			if x.Pins[n.pins] == A && n.phase != planned && n.phase != back {
				n.pinning, n.pinRead, n.pins = false, 0, n.pins+1 // refused: the cell gets nothing new
				return
			}
			n.checked = true
		})
	case x.s.pinning && !x.locked(0):
		by.act = pinIsSet
		x.take(by, x.pin)
	}
}

// pin the customer, if the row is still what was read.
func (x *stepper) pin(n *state) {
	now, to := n.rows[0], x.Pins[n.pins]
	n.checked = false
	if now != n.pinRead {
		n.pinRead = now
		return
	}
	epoch := now.epoch() + 1
	if x.PinsWithoutEpoch {
		epoch--
	}
	x.change(n, 0, newRow(epoch, now.owner(), to))
	n.pinning, n.pinRead, n.pins = false, 0, n.pins+1
}
