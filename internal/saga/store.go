package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsert = sqldb.Define(sqldb.Customer, "saga.insert", `
INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at, epoch)
VALUES ($1, $2, $3, $4, $5, 'RUNNING', $6, $7, 0, $8, $9, '', $10, $10, coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $5), 0))`)

	stmtClaim = sqldb.Define(sqldb.Customer, "saga.claim", `
UPDATE sagas AS s
SET holder = $3, due_at = $4, updated_at = $5, epoch = o.epoch
FROM (SELECT coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $6), 0) AS epoch) AS o
WHERE s.region = $1 AND s.saga_id = $2 AND s.status IN ('RUNNING', 'UNDOING') AND (s.due_at <= $5 OR s.epoch < o.epoch)
RETURNING kind, customer_id, status, step, state, attempts, due_at, last_error, created_at`)

	stmtSave = sqldb.Define(sqldb.Customer, "saga.save", `
UPDATE sagas
SET status = $4, step = $5, state = $6, attempts = $7, due_at = $8, last_error = $9, updated_at = $10
WHERE region = $1 AND saga_id = $2 AND holder = $3 AND status IN ('RUNNING', 'UNDOING')`)

	// A guard: it divides by zero when another run holds the saga.
	stmtHeld = sqldb.Define(sqldb.Customer, "saga.held", `
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM sagas
  WHERE region = $1 AND saga_id = $2 AND holder = $3 AND status IN ('RUNNING', 'UNDOING')
  FOR UPDATE
) AS s`)

	stmtDue = sqldb.Define(sqldb.Customer, "saga.due", `
SELECT saga_id, customer_id
FROM sagas
WHERE region = $1 AND due_at <= $2 AND slot = ANY ($3::int2[]) AND kind = ANY ($5::text[]) AND status IN ('RUNNING', 'UNDOING')
ORDER BY due_at
LIMIT $4`)

	// Sagas that somebody held before the slot came to this cell.
	stmtStale = sqldb.Define(sqldb.Customer, "saga.stale", `
SELECT s.saga_id, s.customer_id
FROM sagas AS s
JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at > $2 AND s.slot = ANY ($3::int2[]) AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING') AND s.epoch < o.epoch
ORDER BY s.due_at
LIMIT $4`)

	stmtGet = sqldb.Define(sqldb.Customer, "saga.get", `
SELECT kind, customer_id, status, step, state, attempts, due_at, last_error, created_at
FROM sagas
WHERE region = $1 AND saga_id = $2`)
)

// insert a new saga, held by its first run.
func insert(b *sqldb.Batch, in Instance, holder string, now time.Time) {
	b.Queue(stmtInsert, nil, string(in.CustomerID.Region()), in.ID, in.Kind, string(in.CustomerID), int16(in.CustomerID.Slot()),
		in.Step, in.State, now.Add(holdTime), holder, now)
}

// claim takes a saga over; errLost when somebody else may still be working on it, or it has ended.
func (e *Engine) claim(ctx context.Context, id string, customer ident.CustomerID, holder string) (Instance, error) {
	now := e.deps.Clock.Now()
	var in Instance
	err := e.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		var err error
		in, err = scan(id, tx.QueryRow(ctx, stmtClaim, string(customer.Region()), id, holder, now.Add(holdTime), now, int16(customer.Slot())))
		if errors.Is(err, sqldb.ErrNoRows) {
			return errLost
		}
		return err
	})
	return in, err
}

// save a saga after a step, and what b has with it, in one transaction. errLost when another run has taken it over.
func (e *Engine) save(ctx context.Context, in *Instance, holder string, b *sqldb.Batch) error {
	region := string(in.CustomerID.Region())
	if b.Len() > 0 { // what goes with a step must not be written by a run that has lost its saga
		b = b.After(stmtHeld, region, in.ID, holder)
	}
	var held int64
	b.Queue(stmtSave, func(n int64) error { held = n; return nil }, region, in.ID, holder, string(in.Status), in.Step, in.State,
		in.Attempts, in.DueAt, in.LastError, e.deps.Clock.Now())
	err := e.deps.Fence.Send(ctx, in.CustomerID, b)
	if sqldb.GuardFailed(err) || (err == nil && held == 0) {
		err = errLost
	}
	if err != nil {
		return fmt.Errorf("save saga %s: %w", in.ID, err)
	}
	return nil
}

// Get a saga. NotFound UNKNOWN_SAGA.
func (e *Engine) Get(ctx context.Context, home ident.Region, id string) (Instance, error) {
	in, err := scan(id, e.deps.DB.QueryRow(ctx, stmtGet, string(home), id))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Instance{}, problem.New(problem.NotFound, "UNKNOWN_SAGA", "there is no such saga")
	}
	return in, err
}

func scan(id string, row sqldb.Row) (Instance, error) {
	in := Instance{ID: id}
	err := row.Scan(&in.Kind, &in.CustomerID, &in.Status, &in.Step, &in.State, &in.Attempts, &in.DueAt, &in.LastError, &in.CreatedAt)
	return in, err
}

type dueSaga struct {
	id       string
	customer ident.CustomerID
}

func (e *Engine) due(ctx context.Context, ring ident.Region, slots []int16) ([]dueSaga, error) {
	return e.list(ctx, stmtDue, ring, slots)
}

// stale sagas are not due, but their runs belong to a cell that has lost the slot.
func (e *Engine) stale(ctx context.Context, ring ident.Region, slots []int16) ([]dueSaga, error) {
	return e.list(ctx, stmtStale, ring, slots)
}

func (e *Engine) list(ctx context.Context, which *sqldb.Statement, ring ident.Region, slots []int16) ([]dueSaga, error) {
	return sqldb.Collect(ctx, e.deps.DB, which, func(r sqldb.Row) (dueSaga, error) {
		var d dueSaga
		err := r.Scan(&d.id, &d.customer)
		return d, err
	}, string(ring), e.deps.Clock.Now(), slots, sweepLimit, e.names)
}
