package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	"github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
)

// Tx is a transaction under way. It is only good inside the closure it was given to.
type Tx struct {
	tx      session
	dialect Dialect
	// oneTrip tells that the last statements and the commit may share a round trip: no test wants to step in between.
	oneTrip bool
}

// Exec runs a statement and tells how many rows it touched.
func (tx Tx) Exec(ctx context.Context, s *Statement, args ...any) (int64, error) {
	tag, err := tx.tx.Exec(ctx, s.text[tx.dialect], args...)
	return tag.RowsAffected(), wrap(s, err)
}

// Query runs a statement that answers rows. Close them before the next statement.
func (tx Tx) Query(ctx context.Context, s *Statement, args ...any) (Rows, error) {
	rows, err := tx.tx.Query(ctx, s.text[tx.dialect], args...)
	return rows, wrap(s, err)
}

// QueryRow runs a statement that answers one row; Scan gives ErrNoRows for none.
func (tx Tx) QueryRow(ctx context.Context, s *Statement, args ...any) Row {
	return row{tx.tx.QueryRow(ctx, s.text[tx.dialect], args...), s}
}

const (
	// maxAttempts of a transaction that keeps losing races. A request's deadline is spent long before.
	maxAttempts = 12
	// firstBackoff doubles with each attempt, up to maxBackoff, and is jittered: losers must not meet again.
	firstBackoff = 2 * time.Millisecond
	maxBackoff   = 100 * time.Millisecond
)

// InTx runs fn in a transaction and commits. fn may run several times: it must touch only its Tx. An error of
// fn rolls back and is returned as it is. ErrAmbiguous means that the commit may or may not have happened.
func (db *DB) InTx(ctx context.Context, fn func(Tx) error) error {
	if db.dialect == Cockroach {
		return db.inCockroachTx(ctx, fn)
	}
	for attempt := 1; ; attempt++ {
		err := db.tryPostgresTx(ctx, fn)
		state, again := retryable(err)
		if !again || attempt == maxAttempts {
			return err
		}
		db.observe.TxRetried(db.database, state)
		if err := backoff(ctx, attempt); err != nil {
			return err
		}
	}
}

func backoff(ctx context.Context, attempt int) error {
	d := min(firstBackoff<<min(attempt-1, 10), maxBackoff)
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sqldb: between attempts of a transaction: %w", ctx.Err())
	}
}

// tryPostgresTx is one attempt. What COMMIT answers counts: that is where a transaction is kept or lost.
func (db *DB) tryPostgresTx(ctx context.Context, fn func(Tx) error) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("sqldb: begin: %w", classify(err))
	}
	tx := &lazyTx{conn: conn}
	defer tx.end(ctx)
	if err := db.fault(BeforeWork); err != nil {
		return err
	}
	if err := fn(Tx{tx: tx, dialect: Postgres, oneTrip: db.faults == nil}); err != nil {
		return err
	}
	if err := db.fault(BeforeCommit); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return err
	}
	return db.lostAnswer()
}

// lostAnswer plays, for tests, a commit whose answer never came.
func (db *DB) lostAnswer() error {
	if err := db.fault(AfterCommit); err != nil {
		return ambiguous(err)
	}
	return nil
}

// commitError tells a commit the server refused from one whose answer never came.
func commitError(err error) error {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("sqldb: commit: %w", err)
	}
	if state, answered := stateOf(err); answered && !undecidedStates[state] {
		return fmt.Errorf("sqldb: commit: %w", classify(err))
	}
	return ambiguous(err)
}

func ambiguous(cause error) error { return fmt.Errorf("sqldb: commit: %w: %w", ErrAmbiguous, cause) }

func (db *DB) inCockroachTx(ctx context.Context, fn func(Tx) error) error {
	attempts := 0
	ctx = crdb.WithMaxRetries(ctx, maxAttempts)
	err := crdbpgx.ExecuteTx(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		if attempts++; attempts > 1 {
			db.observe.TxRetried(db.database, stateSerializationFailure)
		}
		if err := db.fault(BeforeWork); err != nil {
			return err
		}
		if err := fn(Tx{tx: tx, dialect: Cockroach}); err != nil {
			return err
		}
		return db.fault(BeforeCommit)
	})
	if unknown, ok := errors.AsType[*crdb.AmbiguousCommitError](err); ok {
		return ambiguous(unknown)
	}
	if err != nil {
		return classify(err)
	}
	return db.lostAnswer()
}
