package fence

import (
	"fmt"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Op is a write that many customers make alike, at about the same time. Its statements take arrays, so that the rows of
// all who join at once are written by one execution of each.
type Op[T any] struct {
	name  string
	queue func(b *sqldb.Batch, ring ident.Region, rows []T)
}

// NewOp of rows of type T. queue adds the statements that write rows, which are of different transactions' callers and of
// one ring. What a single row asks must hold however many rows there are: a row that cannot be written has to end the
// transaction, by a constraint or a guard (sqldb.GuardFailed). What statements answer goes into the rows, whose type is
// then a pointer; it may be written several times.
func NewOp[T any](name string, queue func(b *sqldb.Batch, ring ident.Region, rows []T)) *Op[T] {
	return &Op[T]{name: name, queue: queue}
}

// Part of a transaction: one row of an op.
func (o *Op[T]) Part(row T) Part { return Part{op: o, row: row} }

// Part of a transaction that may be shared; an Op makes them.
type Part struct {
	op  operation
	row any
}

// operation is an Op of any type of row.
type operation interface {
	queueAll(b *sqldb.Batch, ring ident.Region, rows []any)
}

func (o *Op[T]) queueAll(b *sqldb.Batch, ring ident.Region, rows []any) {
	all := make([]T, len(rows))
	for i, row := range rows {
		t, ok := row.(T)
		if !ok {
			panic(fmt.Sprintf("fence: %s has a row of type %T", o.name, row)) // only Part makes rows
		}
		all[i] = t
	}
	o.queue(b, ring, all)
}

// Queue the statements of parts, each op once. The order of ops is that of their first parts.
func Queue(b *sqldb.Batch, ring ident.Region, parts []Part) {
	var ops []operation
	rows := map[operation][]any{}
	for _, p := range parts {
		if _, known := rows[p.op]; !known {
			ops = append(ops, p.op)
		}
		rows[p.op] = append(rows[p.op], p.row)
	}
	for _, op := range ops {
		op.queueAll(b, ring, rows[op])
	}
}
