package sqldb

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// traffic tells the observer what goes to the server: every pgx call that waits for an answer is a round trip of one
// statement, or of a batch of them.
type traffic struct {
	database Database
	observe  Observer
}

var (
	_ pgx.QueryTracer = traffic{}
	_ pgx.BatchTracer = traffic{}
)

// TraceQueryStart implements pgx.QueryTracer.
func (t traffic) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	t.observe.Sent(t.database, 1)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (traffic) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (t traffic) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	t.observe.Sent(t.database, data.Batch.Len())
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (traffic) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (traffic) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
