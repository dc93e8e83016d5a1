package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is what statements are sent to: a pgx.Tx, or a lazyTx.
type session interface {
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

const (
	beginText  = "begin isolation level read committed"
	commitText = "commit"
)

// lazyTx is a transaction on PostgreSQL that begins in the round trip of its first statement, and may end in that of its
// last: for short transactions that is a third of the time.
type lazyTx struct {
	conn      *pgxpool.Conn
	committed bool
}

// begun asks the connection, which knows what the server said last.
func (l *lazyTx) begun() bool { return l.conn.Conn().PgConn().TxStatus() != 'I' }

// Exec implements session.
func (l *lazyTx) Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error) {
	if l.begun() {
		return l.conn.Exec(ctx, text, args...)
	}
	results := l.first(ctx, text, args)
	tag, err := results.Exec()
	return tag, errors.Join(err, closed(results, err))
}

// Query implements session.
func (l *lazyTx) Query(ctx context.Context, text string, args ...any) (pgx.Rows, error) {
	if l.begun() {
		return l.conn.Query(ctx, text, args...)
	}
	results := l.first(ctx, text, args)
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, closed(results, err))
	}
	return &firstRows{Rows: rows, results: results}, nil
}

// QueryRow implements session.
func (l *lazyTx) QueryRow(ctx context.Context, text string, args ...any) pgx.Row {
	if l.begun() {
		return l.conn.QueryRow(ctx, text, args...)
	}
	return firstRow{l.first(ctx, text, args)}
}

// SendBatch implements session.
func (l *lazyTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if l.begun() {
		return l.conn.SendBatch(ctx, b)
	}
	b.QueuedQueries = append([]*pgx.QueuedQuery{{SQL: beginText}}, b.QueuedQueries...)
	results := l.conn.SendBatch(ctx, b)
	_, _ = results.Exec() // should it fail, so does the next
	return results
}

// first statement of the transaction, behind its begin.
func (l *lazyTx) first(ctx context.Context, text string, args []any) pgx.BatchResults {
	b := &pgx.Batch{}
	b.Queue(text, args...)
	return l.SendBatch(ctx, b)
}

// closed results; their error only when there was none before, because they repeat it.
func closed(results pgx.BatchResults, before error) error {
	if err := results.Close(); before == nil {
		return err
	}
	return nil
}

// commit, unless it has happened or nothing was ever sent.
func (l *lazyTx) commit(ctx context.Context) error {
	if l.committed || !l.begun() {
		return nil
	}
	tag, err := l.conn.Exec(ctx, commitText)
	return committed(tag, err)
}

// committed reads the answer to a commit: the server answers ROLLBACK for a transaction that had failed.
func committed(tag pgconn.CommandTag, err error) error {
	if err == nil && tag.String() == "ROLLBACK" {
		err = pgx.ErrTxCommitRollback
	}
	if err != nil {
		return commitError(err)
	}
	return nil
}

// end gives the connection back, after a rollback if that is needed. The caller's context may have ended.
func (l *lazyTx) end(ctx context.Context) {
	defer l.conn.Release() // a connection that is still in a transaction is closed by the pool
	if l.conn.Conn().IsClosed() || !l.begun() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = l.conn.Exec(ctx, "rollback")
}

// sendLast statements and the commit behind them.
func (l *lazyTx) sendLast(ctx context.Context, b *Batch) (err error) {
	pb := b.pgx(Postgres)
	pb.Queue(commitText)
	results := l.SendBatch(ctx, pb)
	defer func() {
		if closeErr := results.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("sqldb: close batch: %w", ambiguous(closeErr))
		}
	}()
	if err := readBatch(results, b); err != nil {
		if _, answered := stateOf(err); !answered {
			return ambiguous(err) // the commit may have been heard
		}
		return err
	}
	if err := committed(results.Exec()); err != nil {
		return err
	}
	l.committed = true
	return nil
}

// firstRows of a transaction: the batch they came in is closed with them.
type firstRows struct {
	pgx.Rows
	results pgx.BatchResults
	err     error
}

// Next implements pgx.Rows.
func (r *firstRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *firstRows) Close() {
	r.Rows.Close()
	if r.results != nil {
		r.err = closed(r.results, r.Rows.Err())
		r.results = nil
	}
}

// Err implements pgx.Rows.
func (r *firstRows) Err() error { return errors.Join(r.Rows.Err(), r.err) }

type firstRow struct{ results pgx.BatchResults }

// Scan implements pgx.Row.
func (r firstRow) Scan(dest ...any) error {
	err := r.results.QueryRow().Scan(dest...)
	if closeErr := closed(r.results, err); closeErr != nil {
		return closeErr
	}
	return err
}
