package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cellar-commerce/cellar/internal/problem"
)

func answered(state string) error {
	return &pgconn.PgError{Severity: "ERROR", Code: state, Message: "text of the server"}
}

func TestOnlyLostRacesAreRunAgain(t *testing.T) {
	for state, want := range map[string]bool{
		stateSerializationFailure: true, stateDeadlock: true, stateCockroachRetry: true,
		stateUniqueViolation: false, stateCheckViolation: false, stateAdminShutdown: false, stateStatementUnknown: false,
	} {
		// As it comes from a statement: classified, and wrapped by the store and the service.
		err := fmt.Errorf("place order o1: %w", fmt.Errorf("order.insert: %w", classify(answered(state))))
		if got, again := retryable(err); again != want || got != state {
			t.Errorf("%s: got %q, %v", state, got, again)
		}
	}
	if _, again := retryable(fmt.Errorf("commit: %w: %w", ErrAmbiguous, answered(stateSerializationFailure))); again {
		t.Error("an ambiguous commit must never be run again")
	}
	if _, again := retryable(errors.New("no SQLSTATE at all")); again {
		t.Error("an error without an SQLSTATE was taken for a lost race")
	}
}

func TestACommitWithoutAFirmAnswerIsAmbiguous(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"the connection broke":                {io.ErrUnexpectedEOF, true},
		"the deadline ended":                  {context.DeadlineExceeded, true},
		"the server does not know either":     {answered(stateStatementUnknown), true},
		"the resolution is unknown":           {answered("08007"), true},
		"the server was stopped meanwhile":    {answered(stateAdminShutdown), true},
		"the server crashed meanwhile":        {answered(stateCrashShutdown), true},
		"the server refused":                  {answered(stateSerializationFailure), false},
		"a deferred constraint does not hold": {answered(stateForeignKeyViolation), false},
		"the transaction had failed before":   {pgx.ErrTxCommitRollback, false},
	} {
		if got := commitError(c.err); errors.Is(got, ErrAmbiguous) != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestServersThatAreAwayAreUnavailableAndTheRestIsOurFault(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want problem.Kind
	}{
		"stopped by its operator":   {answered(stateAdminShutdown), problem.Unavailable},
		"starting":                  {answered(stateCannotConnectNow), problem.Unavailable},
		"full":                      {answered(stateTooManyConnections), problem.Unavailable},
		"connection exception":      {answered("08006"), problem.Unavailable},
		"connection cut":            {io.ErrUnexpectedEOF, problem.Unavailable},
		"connection reset":          {errors.New("read tcp: connection reset by peer"), problem.Unavailable},
		"unique violation":          {answered(stateUniqueViolation), problem.Internal},
		"syntax error":              {answered("42601"), problem.Internal},
		"anything without SQLSTATE": {errors.New("can't scan into dest[0]"), problem.Internal},
	} {
		if got := problem.KindOf(classify(c.err)); got != c.want {
			t.Errorf("%s: got kind %v, want %v", name, got, c.want)
		}
	}
	if err := classify(pgx.ErrNoRows); err != ErrNoRows { //nolint:errorlint // it must come through untouched
		t.Errorf("got %v", err)
	}
}
