package sqldb

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// SQLSTATEs that Cellar tells apart (PostgreSQL, appendix A; CockroachDB uses the same and adds CR000).
const (
	stateUniqueViolation      = "23505"
	stateCheckViolation       = "23514"
	stateDivisionByZero       = "22012"
	stateNotNullViolation     = "23502"
	stateForeignKeyViolation  = "23503"
	stateLockNotAvailable     = "55P03"
	stateSerializationFailure = "40001"
	stateStatementUnknown     = "40003"
	stateResolutionUnknown    = "08007"
	stateDeadlock             = "40P01"
	stateIdleInTransaction    = "25P03"
	stateCockroachRetry       = "CR000"
	stateAdminShutdown        = "57P01"
	stateCrashShutdown        = "57P02"
	stateCannotConnectNow     = "57P03"
	stateTooManyConnections   = "53300"
	stateUndefinedTable       = "42P01"
	stateDatabaseMissing      = "3D000"
)

var (
	// ErrNoRows: the statement answered no row.
	ErrNoRows = pgx.ErrNoRows
	// ErrAmbiguous: the server was asked to commit and its answer was lost.
	ErrAmbiguous = errors.New("the outcome of the commit is unknown")
)

// UniqueViolation tells whether err is a duplicate key, and of which constraint or index.
func UniqueViolation(err error) (constraint string, ok bool) {
	return violation(err, stateUniqueViolation)
}

// CheckViolation tells whether err broke a CHECK, and which.
func CheckViolation(err error) (constraint string, ok bool) {
	return violation(err, stateCheckViolation)
}

// NotNullViolation tells whether err is a column that got no value.
func NotNullViolation(err error) bool {
	state, _ := stateOf(err)
	return state == stateNotNullViolation
}

// ForeignKeyViolation tells whether err broke a reference, and which.
func ForeignKeyViolation(err error) (constraint string, ok bool) {
	return violation(err, stateForeignKeyViolation)
}

// GuardFailed tells whether a guard of a batch has ended its transaction: a SELECT that divides by zero where what has to
// hold does not. It is how a statement can refuse when the commit is already on its way behind it.
func GuardFailed(err error) bool {
	state, _ := stateOf(err)
	return state == stateDivisionByZero
}

// FailedIn tells whether it is this statement that has failed, of the several that were sent together.
func FailedIn(err error, s *Statement) bool {
	failed, ok := errors.AsType[*statementError](err)
	return ok && failed.statement == s
}

// LockTimedOut tells whether the transaction was ended because it waited too long for somebody's lock.
func LockTimedOut(err error) bool {
	state, _ := stateOf(err)
	return state == stateLockNotAvailable
}

// MissingSchema tells whether err is that a table or the whole database is not there: migrations have not run.
func MissingSchema(err error) bool {
	state, _ := stateOf(err)
	return state == stateUndefinedTable || state == stateDatabaseMissing
}

func violation(err error, state string) (string, bool) {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pe.Code != state {
		return "", false
	}
	return pe.ConstraintName, true
}

func stateOf(err error) (string, bool) {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code, true
	}
	return "", false
}

// retryable tells whether a transaction that ended with err was rolled back for sure and may win when run again.
func retryable(err error) (state string, again bool) {
	if errors.Is(err, ErrAmbiguous) {
		return "", false
	}
	state, _ = stateOf(err)
	return state, state == stateSerializationFailure || state == stateDeadlock || state == stateCockroachRetry
}

// unavailableStates: the server is going, gone or full; the same request may work on another connection or later.
var unavailableStates = map[string]bool{
	stateAdminShutdown: true, stateCrashShutdown: true, stateCannotConnectNow: true, stateTooManyConnections: true,
	stateSerializationFailure: true, stateDeadlock: true, stateStatementUnknown: true, stateCockroachRetry: true, stateIdleInTransaction: true,
}

// undecidedStates, answered to COMMIT, leave open whether it happened: the server does not know, or ended while it was at it.
var undecidedStates = map[string]bool{
	stateStatementUnknown: true, stateResolutionUnknown: true, stateAdminShutdown: true, stateCrashShutdown: true,
}

// classify gives errors of a server that is not there the kind Unavailable. Everything else stays what it is, and
// becomes "internal" unless a store handles it: an SQLSTATE nobody expects is a bug.
func classify(err error) error {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	state, answered := stateOf(err)
	down := unavailableStates[state] || strings.HasPrefix(state, "08")
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting && !answered {
		down = true
	}
	givenUp := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if !answered && !down && !givenUp {
		// No SQLSTATE and no context error: the connection broke.
		down = pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF") ||
			strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "broken pipe")
	}
	if down {
		return problem.Wrap(err, problem.Unavailable, "DATABASE_UNAVAILABLE", "the database cannot be reached right now; try again")
	}
	return err
}

func wrap(s *Statement, err error) error {
	if err == nil {
		return nil
	}
	return &statementError{s, classify(err)}
}

// statementError is an error with the statement that had it.
type statementError struct {
	statement *Statement
	err       error
}

func (e *statementError) Error() string { return e.statement.name + ": " + e.err.Error() }

func (e *statementError) Unwrap() error { return e.err }
