package sqldb

import "github.com/jackc/pgx/v5/pgconn"

// Point is a place in a transaction at which a test may inject a fault.
type Point int

// The points, in order.
const (
	// BeforeWork: the transaction has begun.
	BeforeWork Point = iota
	// BeforeCommit: the closure is done, nothing is committed.
	BeforeCommit
	// AfterCommit: the commit has happened; an error here plays a lost answer.
	AfterCommit
)

// Faults decides at each point whether the transaction fails there. Nil lets it pass.
type Faults func(Point) error

func (db *DB) fault(p Point) error {
	if db.faults == nil {
		return nil
	}
	return db.faults(p)
}

// FakeSerializationFailure is what the server answers to the loser of a race.
func FakeSerializationFailure() error {
	return &pgconn.PgError{Severity: "ERROR", Code: stateSerializationFailure, Message: "injected by a test"}
}
