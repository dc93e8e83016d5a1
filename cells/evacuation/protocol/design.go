package protocol

// Guard says what a write's transaction looks at before its effect.
type Guard uint8

// The guards.
const (
	// ByRow reads the slot's row and shares a lock on it until the commit.
	ByRow Guard = iota
	// ByMap asks the map in the cell's memory, and locks nothing.
	ByMap
	// ByNothing has no fence.
	ByNothing
)

// Design of the protocol. The zero value is the protocol as it ought to be; each field is a defect that can be put in.
type Design struct {
	// Guard of a customer's write.
	Guard Guard
	// FlipIgnoresLocks: a change of a row does not wait for those who share its lock.
	FlipIgnoresLocks bool
	// FlipsBlindly: a flip writes its target over whatever stands in the row.
	FlipsBlindly bool
	// ComparesOwnerOnly: a flip looks whether the owner is the one it has read, and not at the epoch.
	ComparesOwnerOnly bool
	// ComparesWithPlan: a flip goes ahead only from the row that was there when the move was planned.
	ComparesWithPlan bool
	// StateBeforeRow: a driver asks whether its move is still wanted, and reads the row only then.
	StateBeforeRow bool
	// LeavesUnmoved: going back passes over the slots that have not moved, instead of giving them a new epoch as well.
	LeavesUnmoved bool
	// ReusesEpochs: going back restores the epoch along with the owner.
	ReusesEpochs bool
	// BelievesRecord: progress is recorded before the flip, and a driver that resumes believes it instead of the rows.
	BelievesRecord bool
	// PublishesFirst: the map says what is about to be flipped.
	PublishesFirst bool
	// VersionReadLast: whoever makes a map looks which version it follows when the rows have been read.
	VersionReadLast bool
	// PublishesOnce: a map is made at its place in a move and at no other time, whatever the rows say later.
	PublishesOnce bool
	// ReturnsUnannounced: slots go back to a cell that the map still calls evacuated.
	ReturnsUnannounced bool
	// TakesOlderMaps: whoever holds a map takes any other.
	TakesOlderMaps bool
	// HintsWithoutEpochs: a router believes the last redirect it has heard.
	HintsWithoutEpochs bool
	// WaitsForHints: a router that has heard of a newer owner waits for it also when its map says that it is not to be asked.
	WaitsForHints bool
	// RefusesByMap: a cell whose map gives a customer to another sends a request there, and does not look at the row.
	RefusesByMap bool
	// SweepsByMap: a cell looks for sagas in the slots that its map gives it.
	SweepsByMap bool
	// SweepsBySlot: a cell looks for sagas in the slots that it owns, whether or not a customer is pinned elsewhere.
	SweepsBySlot bool
	// PinsWithoutEpoch: a pin changes the row and not its epoch.
	PinsWithoutEpoch bool
	// KeepsPins: a pin to a cell that has been evacuated meanwhile is nobody's business.
	KeepsPins bool
	// Remembers: cells keep customers' rows in memory between transactions, as long as they are the owner.
	Remembers bool
	// RemembersByEpoch: they do, and forget them when the slot's row has another epoch.
	RemembersByEpoch bool
	// KeylessWrites: a write that is sent again is written again.
	KeylessWrites bool
	// KeylessSteps: a saga's step that is done again takes effect again.
	KeylessSteps bool
	// NoTombstones: a saga's step can be done after it has been undone.
	NoTombstones bool
	// NoHolder: a saga's run stores its progress without looking whether another has taken the saga over.
	NoHolder bool
}

// Config is a world to explore a design in. The evacuated cell is a.
type Config struct {
	Name string
	Design
	// Slots, 1 or 2, with their first owners. Cell a's move to b, except a second one of it where there is a cell c.
	Slots []Cell
	// Cells, 2 or 3; Routers, 1 or 2; Drivers of the evacuation, 1 or 2: the second takes over when the first is dead, or
	// only seems to be.
	Cells, Routers, Drivers int
	// Requests, each with one key, of which their clients send any number of copies until they hear of one.
	Requests []Request
	// Zombies: a client may lose patience while its request is in a cell, where it goes on.
	Zombies bool
	// Faults of cell a that may happen: it may stop for good, or stop and go on later.
	Dies, Freezes bool
	// DriverDies: the first may.
	DriverDies bool
	// Hurries: a driver reads what it needs at once with its step before. When only one driver writes, it makes no difference
	// when it reads.
	Hurries bool
	// Back allows the operator to abort the evacuation at any point, or to undo it.
	Back bool
	// Pins are set one after the other, each at any time: cells for the pinned customer of slot 0, None to end a pin.
	Pins []Cell
	// Saga under way in slot 0, of the pinned customer if there is one, begun by the owner.
	Saga, SagaOfPinned bool
	// Runs of the saga that there may be at once, 1 to 3, be they alive or zombies.
	Runs int
	// LateMaps: old maps may arrive, too.
	LateMaps bool
	// NoMaps: none arrives anywhere. Where nothing that is looked at depends on them, they would only multiply the states.
	NoMaps bool
}

// Request of a customer.
type Request struct {
	Slot   uint8
	Router uint8
	// Pinned tells that it comes from the customer to whom pins of the slot apply.
	Pinned bool
}

// Cell of a configuration.
type Cell uint8

// The cells.
const (
	A Cell = iota
	B
	C
	None
)

// String implements fmt.Stringer.
func (c Cell) String() string { return [...]string{"a", "b", "c", "nobody"}[c] }
