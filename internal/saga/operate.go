package saga

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What an operator sees and decides. Whoever changes something gives a reason, which is kept with the saga.

const operatedColumns = "saga_id, kind, customer_id, status, step, state, attempts, due_at, last_error, created_at, updated_at, holder, parked_from, operator_note"

var (
	stmtParkedFrom = sqldb.Define(sqldb.Customer, "saga.parked_from", `
UPDATE sagas
SET parked_from = $3
WHERE region = $1 AND saga_id = $2`)

	stmtListParked = sqldb.Define(sqldb.Customer, "saga.list_parked", `
SELECT `+operatedColumns+`
FROM sagas
WHERE region = $1 AND status = 'PARKED'
ORDER BY updated_at
LIMIT $2`)

	stmtListLive = sqldb.Define(sqldb.Customer, "saga.list_live", `
SELECT `+operatedColumns+`
FROM sagas
WHERE region = $1 AND status IN ('RUNNING', 'UNDOING')
ORDER BY due_at
LIMIT $2`)

	stmtLook = sqldb.Define(sqldb.Customer, "saga.look", `
SELECT `+operatedColumns+`
FROM sagas
WHERE region = $1 AND saga_id = $2`)

	stmtLookLocked = sqldb.Define(sqldb.Customer, "saga.look_locked", `
SELECT `+operatedColumns+`
FROM sagas
WHERE region = $1 AND saga_id = $2
FOR UPDATE`)

	// Whoever holds the saga loses it; who takes it waits until that run has been silent for long enough.
	stmtDecide = sqldb.Define(sqldb.Customer, "saga.decide", `
UPDATE sagas
SET status = $3, step = $4, state = $5, attempts = 0, due_at = $6, holder = '', parked_from = '', operator_note = operator_note || $7, updated_at = $8
WHERE region = $1 AND saga_id = $2`)

	stmtCountParked = sqldb.Define(sqldb.Customer, "saga.count_parked", `
SELECT s.kind, count(*)
FROM sagas AS s
LEFT JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.status = 'PARKED' AND coalesce(o.overrides ->> s.customer_id, o.owner, $2) = $2
GROUP BY s.kind`)
)

// parking of a saga, and what it was before.
type parking struct {
	id   string
	from Status
}

// It is rare: a statement each will do.
var opParkedFrom = fence.NewOp("saga.parked_from", func(b *sqldb.Batch, ring ident.Region, rows []parking) {
	for _, r := range rows {
		b.Queue(stmtParkedFrom, nil, string(ring), r.id, string(r.from))
	}
})

// Look is an instance as an operator sees it.
type Look struct {
	Instance
	// UpdatedAt is when the row was written last.
	UpdatedAt time.Time
	// Holder of a live saga: the cell, and the name of its run. Empty when an operator has let go of it.
	Holder string
	// ParkedFrom is what a PARKED saga was: RUNNING or UNDOING.
	ParkedFrom Status
	// Notes of operators, a line each.
	Notes string
}

// Note of an operator who changes something.
type Note struct {
	// Reason in the operator's words; must not be empty.
	Reason string
}

// maxReason bounds a reason's bytes: a sentence, or the number of a ticket.
const maxReason = 300

// line of a note in a saga's row.
func (n Note) line(at time.Time, what string) (string, error) {
	reason := strings.Join(strings.Fields(n.Reason), " ")
	if reason == "" || len(reason) > maxReason {
		return "", problem.New(problem.Invalid, "REASON_MISSING", "a reason of up to 300 bytes is required")
	}
	return fmt.Sprintf("%s %s: %s\n", at.UTC().Format(time.RFC3339), what, reason), nil
}

// Kinds of sagas that this engine runs.
func (e *Engine) Kinds() []string { return e.names }

// maxListed bounds a list: more than that nobody reads.
const maxListed = 500

// List sagas of a ring of any kind, the longest unattended first: those that are PARKED, or else those that are live. At
// most 500.
func (e *Engine) List(ctx context.Context, ring ident.Region, parked bool) ([]Look, error) {
	s := stmtListLive
	if parked {
		s = stmtListParked
	}
	all, err := sqldb.Collect(ctx, e.deps.DB, s, scanLook, string(ring), maxListed)
	if err != nil {
		return nil, fmt.Errorf("list sagas of %s: %w", ring, err)
	}
	return all, nil
}

// Look at a saga of any kind. NotFound UNKNOWN_SAGA.
func (e *Engine) Look(ctx context.Context, ring ident.Region, id string) (Look, error) {
	return look(e.deps.DB.QueryRow(ctx, stmtLook, string(ring), id))
}

func look(row sqldb.Row) (Look, error) {
	l, err := scanLook(row)
	if errors.Is(err, sqldb.ErrNoRows) {
		return l, unknownSaga()
	}
	return l, err
}

func scanLook(row sqldb.Row) (Look, error) {
	var l Look
	err := row.Scan(&l.ID, &l.Kind, &l.CustomerID, &l.Status, &l.Step, &l.State, &l.Attempts, &l.DueAt, &l.LastError, &l.CreatedAt,
		&l.UpdatedAt, &l.Holder, &l.ParkedFrom, &l.Notes)
	return l, err
}

// State of a saga of a kind that this engine runs.
func (e *Engine) State(in Instance) (proto.Message, error) {
	d, ok := e.kinds[in.Kind]
	if !ok {
		return nil, fmt.Errorf("saga: there is no kind %q", in.Kind)
	}
	return d.read(in)
}

func (d *Definition) read(in Instance) (proto.Message, error) {
	state := d.NewState()
	if err := proto.Unmarshal(in.State, state); err != nil {
		return nil, fmt.Errorf("saga: state of %s: %w", in.ID, err)
	}
	return state, nil
}

// Retry puts a PARKED saga back to what it was; the next sweep goes on with it. Precondition NOT_PARKED.
func (e *Engine) Retry(ctx context.Context, l Look, note Note) error {
	return e.decide(ctx, l, note, "retry", func(_ *Definition, now *Look) error {
		if now.Status != Parked {
			return problem.New(problem.Precondition, "NOT_PARKED", "the saga is "+string(now.Status)+": only a parked one is put back")
		}
		now.Status = now.ParkedFrom
		return nil
	})
}

// Undo turns a saga back that has not passed its point of no return. The run that holds it, if one does, has until the
// saga is due to fall silent; then the way back begins. Precondition SAGA_ENDED, ALREADY_UNDOING or
// PAST_POINT_OF_NO_RETURN.
func (e *Engine) Undo(ctx context.Context, l Look, note Note) error {
	return e.decide(ctx, l, note, "undo", func(d *Definition, now *Look) error {
		switch {
		case now.Status == Done || now.Status == Undone:
			return problem.New(problem.Precondition, "SAGA_ENDED", "the saga has ended: it is "+string(now.Status))
		case now.Status == Undoing || (now.Status == Parked && now.ParkedFrom == Undoing):
			return problem.New(problem.Precondition, "ALREADY_UNDOING", "the saga is on its way back already; retry goes on with one that is parked")
		}
		at := d.index(now.Step)
		switch {
		case at < 0:
			return problem.New(problem.Precondition, "UNKNOWN_STEP", "the saga is at a step that this release does not have")
		case d.Steps[at].Forward:
			return problem.New(problem.Precondition, "PAST_POINT_OF_NO_RETURN", "the saga is at "+now.Step+", from which there is no way back; retry goes on with one that is parked")
		}
		state, err := d.read(now.Instance)
		if err != nil {
			return err
		}
		d.Refused(state, problem.New(problem.Precondition, "UNDONE_BY_OPERATOR", "an operator has taken this back"))
		now.State, err = proto.Marshal(state)
		now.Status, now.Step = Undoing, d.Steps[d.reach(at)].Name
		return err
	})
}

// decide what becomes of a saga, as it stands now.
func (e *Engine) decide(ctx context.Context, l Look, note Note, what string, change func(*Definition, *Look) error) error {
	d, ok := e.kinds[l.Kind]
	if !ok {
		return fmt.Errorf("saga: there is no kind %q", l.Kind)
	}
	now := e.deps.Clock.Now()
	line, err := note.line(now, what)
	if err != nil {
		return err
	}
	region := string(l.CustomerID.Region())
	err = e.deps.Fence.InSlotTx(ctx, l.CustomerID, func(tx sqldb.Tx) error {
		current, err := look(tx.QueryRow(ctx, stmtLookLocked, region, l.ID))
		if err != nil {
			return err
		}
		if current.Status == Parked && current.ParkedFrom == "" { // by a release that did not note it
			current.ParkedFrom = Undoing
			if at := d.index(current.Step); at >= 0 && d.Steps[at].Forward {
				current.ParkedFrom = Running
			}
		}
		due := now
		if current.Status != Parked && current.DueAt.After(now) { // a run may be at it
			due = current.DueAt
		}
		if err := change(d, &current); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, stmtDecide, region, l.ID, string(current.Status), current.Step, current.State, due, line, now)
		return err
	})
	if err == nil {
		e.deps.Log.InfoContext(ctx, "an operator decides", "saga", l.ID, "kind", l.Kind, "what", what)
	}
	return err
}

// countParked tells the observer how many of this cell's sagas of each kind stand parked.
func (e *Engine) countParked(ctx context.Context, rings []ident.Region) error {
	parked := map[string]int64{}
	for _, ring := range rings {
		_, err := sqldb.Collect(ctx, e.deps.DB, stmtCountParked, func(r sqldb.Row) (kind string, err error) {
			var n int64
			err = r.Scan(&kind, &n)
			parked[kind] += n
			return kind, err
		}, string(ring), e.deps.Cell)
		if err != nil {
			return fmt.Errorf("saga: count those that are parked in %s: %w", ring, err)
		}
	}
	for _, kind := range e.names {
		e.deps.Observe.SagasStandParked(kind, parked[kind])
	}
	return nil
}
