package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsert = sqldb.Define(sqldb.Customer, "saga.insert", `
INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at, epoch)
SELECT $1::crdb_internal_region, n.saga_id, n.kind, n.customer_id, n.slot, 'RUNNING', n.step, n.state, 0, n.due_at, n.holder, '', n.at, n.at, coalesce(o.epoch, 0)
FROM unnest($2::text[], $3::text[], $4::text[], $5::int2[], $6::text[], $7::bytea[], $8::timestamptz[], $9::text[], $10::timestamptz[])
  AS n (saga_id, kind, customer_id, slot, step, state, due_at, holder, at)
LEFT JOIN slots AS o ON o.region = $1 AND o.slot = n.slot`)

	stmtClaim = sqldb.Define(sqldb.Customer, "saga.claim", `
UPDATE sagas AS s
SET holder = $3, due_at = $4, updated_at = $5, epoch = o.epoch
FROM (SELECT coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $6), 0) AS epoch) AS o
WHERE s.region = $1 AND s.saga_id = $2 AND s.status IN ('RUNNING', 'UNDOING') AND (s.due_at <= $5 OR s.epoch < o.epoch)
RETURNING kind, customer_id, status, step, state, attempts, due_at, last_error, created_at`)

	// With a guard: it divides by zero when another run holds one of the sagas.
	stmtSave = sqldb.Define(sqldb.Customer, "saga.save", `
WITH saved AS (
  UPDATE sagas AS s
  SET status = n.status, step = n.step, state = n.state, attempts = n.attempts, due_at = n.due_at, last_error = n.last_error, updated_at = n.at
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::int4[], $8::timestamptz[], $9::text[], $10::timestamptz[])
    AS n (saga_id, holder, status, step, state, attempts, due_at, last_error, at)
  WHERE s.region = $1 AND s.saga_id = n.saga_id AND s.holder = n.holder AND s.status IN ('RUNNING', 'UNDOING')
  RETURNING 1
)
SELECT 1 / (count(*) = $11)::int
FROM saved`)

	// Sagas that are due and this cell's: by the slot's row, as the fence decides. A slot that has none is left to the fence.
	stmtDue = sqldb.Define(sqldb.Customer, "saga.due", `
SELECT s.saga_id, s.customer_id
FROM sagas AS s
LEFT JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at <= $2 AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING')
  AND coalesce(o.overrides ->> s.customer_id, o.owner, $3) = $3
ORDER BY s.due_at
LIMIT $4`)

	// Sagas that somebody held before their customer came to this cell.
	stmtStale = sqldb.Define(sqldb.Customer, "saga.stale", `
SELECT s.saga_id, s.customer_id
FROM sagas AS s
JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at > $2 AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING')
  AND s.epoch < o.epoch AND coalesce(o.overrides ->> s.customer_id, o.owner) = $3
ORDER BY s.due_at
LIMIT $4`)

	// Nobody needs what an ended saga remembers, but operators who look back.
	stmtForget = sqldb.Define(sqldb.Customer, "saga.forget", `
UPDATE sagas AS s
SET state = ''
FROM unnest($3::text[]) AS n (saga_id)
WHERE s.region = $1 AND s.saga_id = n.saga_id AND s.customer_id = $2 AND s.status IN ('DONE', 'UNDONE') AND s.state <> ''`)

	stmtStatus = sqldb.Define(sqldb.Customer, "saga.status", `
SELECT status
FROM sagas
WHERE region = $1 AND saga_id = $2`)

	stmtGet = sqldb.Define(sqldb.Customer, "saga.get", `
SELECT kind, customer_id, status, step, state, attempts, due_at, last_error, created_at
FROM sagas
WHERE region = $1 AND saga_id = $2`)
)

// held is a saga with the run that holds it.
type held struct {
	in     Instance
	holder string
	now    time.Time
}

var (
	opInsert = fence.NewOp("saga.insert", queueInsert)
	opSave   = fence.NewOp("saga.save", queueSave)
)

func queueInsert(b *sqldb.Batch, ring ident.Region, rows []held) {
	n := len(rows)
	ids, kinds, customers, slots, steps := make([]string, n), make([]string, n), make([]string, n), make([]int16, n), make([]string, n)
	states, due, holders, at := make([][]byte, n), make([]time.Time, n), make([]string, n), make([]time.Time, n)
	for i, r := range rows {
		ids[i], kinds[i], customers[i], slots[i], steps[i] = r.in.ID, r.in.Kind, string(r.in.CustomerID), int16(r.in.CustomerID.Slot()), r.in.Step
		states[i], due[i], holders[i], at[i] = r.in.State, r.in.DueAt, r.holder, r.now
	}
	b.Queue(stmtInsert, nil, string(ring), ids, kinds, customers, slots, steps, states, due, holders, at)
}

func queueSave(b *sqldb.Batch, ring ident.Region, rows []held) {
	n := len(rows)
	ids, holders, statuses, steps, states := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	attempts, due, failures, at := make([]int32, n), make([]time.Time, n), make([]string, n), make([]time.Time, n)
	for i, r := range rows {
		ids[i], holders[i], statuses[i], steps[i], states[i] = r.in.ID, r.holder, string(r.in.Status), r.in.Step, r.in.State
		attempts[i], due[i], failures[i], at[i] = int32(r.in.Attempts), r.in.DueAt, r.in.LastError, r.now
	}
	b.Queue(stmtSave, nil, string(ring), ids, holders, statuses, steps, states, attempts, due, failures, at, n)
}

// QueueForget what some sagas of a customer remember, those of them that have ended by themselves.
func QueueForget(b *sqldb.Batch, customer ident.CustomerID, ids []string) {
	b.Queue(stmtForget, nil, string(customer.Region()), string(customer), ids)
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

// save a saga after a step, and what goes with it, in one transaction. errLost when another run has taken it over.
func (e *Engine) save(ctx context.Context, in Instance, holder string, with []fence.Part) error {
	err := e.deps.Fence.Join(ctx, in.CustomerID, append(with, opSave.Part(held{in, holder, e.deps.Clock.Now()}))...)
	if sqldb.GuardFailed(err) {
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
		return Instance{}, unknownSaga()
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

// list sagas of this cell in a ring that are due at a time, or of an owner before.
func (e *Engine) list(ctx context.Context, which *sqldb.Statement, ring ident.Region, now time.Time) ([]dueSaga, error) {
	return sqldb.Collect(ctx, e.deps.DB, which, func(r sqldb.Row) (dueSaga, error) {
		var d dueSaga
		err := r.Scan(&d.id, &d.customer)
		return d, err
	}, string(ring), now, e.deps.Cell, sweepLimit, e.names)
}

// status of a saga. NotFound UNKNOWN_SAGA.
func (e *Engine) status(ctx context.Context, ring ident.Region, id string) (status Status, err error) {
	err = e.deps.DB.QueryRow(ctx, stmtStatus, string(ring), id).Scan(&status)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", unknownSaga()
	}
	return status, err
}

func unknownSaga() error {
	return problem.New(problem.NotFound, "UNKNOWN_SAGA", "there is no such saga")
}
