package sqldb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Rows of an answer; Close them, then look at Err.
type Rows = pgx.Rows

// Row is one row of an answer.
type Row interface {
	// Scan reads the columns, or gives ErrNoRows.
	Scan(dest ...any) error
}

// Querier runs statements: a DB, each as a transaction of its own, or a Tx.
type Querier interface {
	Exec(ctx context.Context, s *Statement, args ...any) (int64, error)
	Query(ctx context.Context, s *Statement, args ...any) (Rows, error)
	QueryRow(ctx context.Context, s *Statement, args ...any) Row
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = Tx{}
)

type row struct {
	pgx.Row
	s *Statement
}

func (r row) Scan(dest ...any) error { return wrap(r.s, r.Row.Scan(dest...)) }

// Collect runs a statement and reads every row with scan. Give the statement a LIMIT.
func Collect[T any](ctx context.Context, q Querier, s *Statement, scan func(Row) (T, error), args ...any) ([]T, error) {
	rows, err := q.Query(ctx, s, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		t, err := scan(rows)
		if err != nil {
			return nil, wrap(s, err)
		}
		all = append(all, t)
	}
	return all, wrap(s, rows.Err())
}

// Batch is statements that go to the server in one round trip.
type Batch struct {
	statements []*Statement
	args       [][]any
	onRows     []func(int64) error
	reads      []func(Rows) error
}

// Queue adds a statement; then, unless nil, is told how many rows it touched and may refuse.
func (b *Batch) Queue(s *Statement, then func(rows int64) error, args ...any) {
	b.add(s, then, nil, args)
}

// QueueRead adds a statement that answers rows; read takes them. It need not close them, nor look at their error.
func (b *Batch) QueueRead(s *Statement, read func(Rows) error, args ...any) {
	b.add(s, nil, read, args)
}

func (b *Batch) add(s *Statement, then func(int64) error, read func(Rows) error, args []any) {
	b.statements = append(b.statements, s)
	b.args = append(b.args, args)
	b.onRows = append(b.onRows, then)
	b.reads = append(b.reads, read)
}

// Len is the number of statements queued.
func (b *Batch) Len() int { return len(b.statements) }

func (b *Batch) pgx(d Dialect) *pgx.Batch {
	out := &pgx.Batch{}
	for i, s := range b.statements {
		out.Queue(s.text[d], b.args[i]...)
	}
	return out
}

// Send a batch inside the transaction; stops at the first failure.
func (tx Tx) Send(ctx context.Context, b *Batch) error {
	if b.Len() == 0 {
		return nil
	}
	results := tx.tx.SendBatch(ctx, b.pgx(tx.dialect))
	err := readBatch(results, b)
	if closeErr := results.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("sqldb: close batch: %w", classify(closeErr))
	}
	return err
}

// SendLast sends the last statements of the transaction, and the commit with them where the dialect allows it. The
// closure has to return what it returns. What statements answer can be read, but is not looked at before it is committed:
// no func may refuse, what has to hold is for constraints to refuse.
func (tx Tx) SendLast(ctx context.Context, b *Batch) error {
	lazy, ok := tx.tx.(*lazyTx)
	if !ok || !tx.oneTrip || b.Len() == 0 {
		return tx.Send(ctx, b)
	}
	return lazy.sendLast(ctx, b)
}

func readBatch(results pgx.BatchResults, b *Batch) error {
	for i, s := range b.statements {
		if read := b.reads[i]; read != nil {
			if err := readRows(results, read); err != nil {
				return wrap(s, err)
			}
			continue
		}
		tag, err := results.Exec()
		if err != nil {
			return wrap(s, err)
		}
		if then := b.onRows[i]; then != nil {
			if err := then(tag.RowsAffected()); err != nil {
				return err
			}
		}
	}
	return nil
}

func readRows(results pgx.BatchResults, read func(Rows) error) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := read(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// Each gives a reader that calls scan for every row.
func Each(scan func(Row) error) func(Rows) error {
	return func(rows Rows) error {
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return nil
	}
}
