package protocol

import "fmt"

// The sizes of a state. They bound what a configuration can ask for; whoever goes past one of them panics.
const (
	maxSlots    = 2
	maxCells    = 3
	maxRouters  = 2
	maxDrivers  = 2
	maxRequests = 2
	maxRuns     = 3
	maxVersions = 9
	maxEpoch    = 15
)

// row of the table slots: epoch, owner, and the cell that the pinned customer is served by, in four, two and two bits.
// A row of epoch 0 is not known.
type row uint8

func newRow(epoch uint8, owner, pin Cell) row {
	if epoch > maxEpoch {
		panic("protocol: the configuration needs more epochs than a row can say")
	}
	return row(epoch<<4 | uint8(owner)<<2 | uint8(pin))
}

func (r row) epoch() uint8 { return uint8(r >> 4) }
func (r row) owner() Cell  { return Cell(r >> 2 & 3) }
func (r row) pin() Cell    { return Cell(r & 3) }

// names tells whether a cell owns the slot or has its pinned customer.
func (r row) names(c Cell) bool { return r != 0 && (r.owner() == c || r.pin() == c) }

// serving cell of a customer.
func (r row) serving(pinned bool) Cell {
	switch {
	case r == 0:
		return None
	case pinned && r.pin() != None:
		return r.pin()
	default:
		return r.owner()
	}
}

// String implements fmt.Stringer.
func (r row) String() string {
	if r.pin() == None {
		return fmt.Sprintf("%s, epoch %d", r.owner(), r.epoch())
	}
	return fmt.Sprintf("%s, epoch %d, a customer pinned to %s", r.owner(), r.epoch(), r.pin())
}

// chart is a version of the map.
type chart struct {
	rows [maxSlots]row
	// retired: cell a is evacuated and not to be asked.
	retired bool
}

// life of a cell.
type life uint8

const (
	running life = iota
	frozen
	dead
)

// cell as it is: what it knows of the map, and of rows that it has read since.
type cell struct {
	life    life
	version uint8
	known   [maxSlots]row
	// memory of the customer's row, where cells remember: the requests that it holds, and the slot's epoch then; 0 for none.
	memory, memoryEpoch uint8
}

// router as it is: its map, and what redirects have said since: the serving cell as an owner.
type router struct {
	version uint8
	retired bool
	known   [maxSlots]row
	hints   [maxSlots]row
}

// phase of the evacuation, as the control plane's database has it.
type phase uint8

const (
	planned phase = iota
	flipping
	publishing
	verifying
	retiring
	evacuated
	announcing // going back: the map is to say that cell a is asked again
	returning
	republishing
	back
)

// The places in a driver's work.
const (
	looks uint8 = iota
	readsRow
	rechecks
	records // progress, where it is believed
	flips
	readsVersion
	readsPhase
	readsRows
	puts
	verifies
	ends // its phase
)

// driver of the evacuation. What it remembers has been read at some time, and may be long ago.
type driver struct {
	life    life // dead as well before it has begun
	begun   bool
	at      uint8
	slot    uint8
	phase   phase
	read    row
	to      row // what it makes of the row
	version uint8
	next    chart
	fine    bool
}

// The places of a request: with its client, in its router, in a cell, or answered.
const (
	unsent uint8 = iota
	routed
	followed // to the cell that a redirect has named
	inCell
	answered
)

type request struct {
	at    uint8
	named Cell
	// hop: it has followed a redirect since the map was asked.
	hop bool
	// effects that were committed; 2 stands for more.
	effects uint8
}

// The places of a try in a cell.
const (
	none uint8 = iota
	arrived
	admitted
	guarded
	written
	committed
	refused
	failed
)

// try of a cell at a request.
type try struct {
	at   uint8
	cell Cell
	says row // the redirect of a refusal
}

// The standing of a saga.
const (
	noSaga uint8 = iota
	forward
	undoing
	done
	undone
)

// steps of a saga.
const sagaSteps = 2

// saga's row, and what its steps have done elsewhere.
type saga struct {
	status, step, epoch, holder uint8
	effects                     [sagaSteps]uint8
	tombs                       [sagaSteps]bool
}

// The places of a run of the saga.
const (
	idle uint8 = iota
	does
	stores
)

type run struct {
	at     uint8
	cell   Cell
	status uint8
	step   uint8
	swept  bool
}

// state of everything.
type state struct {
	rows     [maxSlots]row
	data     uint8 // requests that the customer's row holds
	maps     [maxVersions]chart
	newest   uint8 // version
	cells    [maxCells]cell
	faulted  bool // cell a has had its fault
	routers  [maxRouters]router
	phase    phase
	plan     uint8         // slots
	moved    uint8         // slots, where the record is believed
	seen     [maxSlots]row // by the plan, where it is compared with
	drivers  [maxDrivers]driver
	pins     uint8 // that were begun
	pinning  bool
	checked  bool
	pinRead  row
	requests [maxRequests]request
	tries    [maxRequests][2]try // the one that is waited for, and a zombie
	saga     saga
	runs     [maxRuns]run
	broken   breach
}

// version of the map that was published.
func (s *state) version(v uint8) *chart { return &s.maps[v-1] }
