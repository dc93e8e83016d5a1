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
}

// Queue adds a statement; then, unless nil, is told how many rows it touched and may refuse.
func (b *Batch) Queue(s *Statement, then func(rows int64) error, args ...any) {
	b.statements = append(b.statements, s)
	b.args = append(b.args, args)
	b.onRows = append(b.onRows, then)
}

// Len is the number of statements queued.
func (b *Batch) Len() int { return len(b.statements) }

// Send a batch inside the transaction; stops at the first failure.
func (tx Tx) Send(ctx context.Context, b *Batch) error {
	if b.Len() == 0 {
		return nil
	}
	pb := &pgx.Batch{}
	for i, s := range b.statements {
		pb.Queue(s.text[tx.dialect], b.args[i]...)
	}
	results := tx.tx.SendBatch(ctx, pb)
	err := readBatch(results, b)
	if closeErr := results.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("sqldb: close batch: %w", classify(closeErr))
	}
	return err
}

func readBatch(results pgx.BatchResults, b *Batch) error {
	for i, s := range b.statements {
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
