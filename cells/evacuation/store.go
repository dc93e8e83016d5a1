package evacuation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsert = sqldb.Define(sqldb.Global, "evacuation.insert", `
INSERT INTO evacuations (evacuation_id, kind, state, revision, changing, who, reason, started_at, ended_at, expires_at, undoes_id, undone_by_id, states_before, states_after, map_version, evacuation)
VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`)

	stmtSave = sqldb.Define(sqldb.Global, "evacuation.save", `
UPDATE evacuations
SET state = $3, revision = revision + 1, changing = $4, ended_at = $5, undone_by_id = $6, map_version = $7, evacuation = $8
WHERE evacuation_id = $1 AND revision = $2`)

	stmtGet = sqldb.Define(sqldb.Global, "evacuation.get", `
SELECT evacuation_id, revision, states_before, states_after, map_version, evacuation
FROM evacuations
WHERE evacuation_id = $1`)

	// Whoever changes the state waits until the transaction of who has read it so has ended.
	stmtLockState = sqldb.Define(sqldb.Global, "evacuation.lock_state", `
SELECT state
FROM evacuations
WHERE evacuation_id = $1
/*@PG FOR SHARE @*/`)

	stmtList = sqldb.Define(sqldb.Global, "evacuation.list", `
SELECT evacuation_id, revision, states_before, states_after, map_version, evacuation
FROM evacuations
ORDER BY started_at DESC, evacuation_id
LIMIT $1`)

	stmtOpen = sqldb.Define(sqldb.Global, "evacuation.open", `
SELECT evacuation_id
FROM evacuations
WHERE ended_at IS NULL
ORDER BY started_at
LIMIT 64`)

	stmtChanging = sqldb.Define(sqldb.Global, "evacuation.changing", `
SELECT evacuation_id
FROM evacuations
WHERE changing`)

	stmtExpired = sqldb.Define(sqldb.Global, "evacuation.expired", `
SELECT evacuation_id
FROM evacuations
WHERE expires_at <= $1 AND state = 'DONE' AND undone_by_id = ''
ORDER BY expires_at
LIMIT 16`)

	// Customers and guests of a ring, as long as they are few enough to count.
	stmtCountHomed = sqldb.Define(sqldb.Customer, "evacuation.count_homed", `
SELECT
  (SELECT count(*) FROM (SELECT 1 FROM accounts WHERE region = $1 LIMIT $2) AS a),
  (SELECT count(DISTINCT customer_id) FROM (SELECT customer_id FROM cart_lines WHERE region = $1 AND customer_id >= 'g-' AND customer_id < 'g.' LIMIT $2) AS g)`)

	// What the database's own statistics say of a table that has more: rows in all, of which each ring is taken to have as
	// much as another.
	stmtEstimateHomed = sqldb.Define(sqldb.Customer, "evacuation.estimate_homed", `
SELECT /*@PG greatest(reltuples, 0)::int8
FROM pg_class
WHERE oid = 'accounts'::regclass @*/
/*@CRDB coalesce(max(estimated_row_count), 0)::int8
FROM crdb_internal.table_row_statistics
WHERE table_name = 'accounts' @*/`)
)

// move is a row.
type move struct {
	e *topologyv1.Evacuation
	// revision that was read.
	revision int64
	// before and after are states of cells: that they had, and that they are to have when the move is done.
	before, after map[string]string
	// version of the first map that has what was flipped; 0 before.
	version uint64
}

func (mv *move) id() string { return mv.e.GetEvacuationId() }

var (
	// errOvertaken: somebody else has changed the row meanwhile.
	errOvertaken = errors.New("evacuation: somebody else has gone on with this move")
	// errChanging: another move has slots on their way.
	errChanging = errors.New("evacuation: another move is under way")
)

// store is the table of moves.
type store struct{ db *sqldb.DB }

func nameOf(kind topologyv1.EvacuationKind) string {
	return strings.TrimPrefix(kind.String(), "EVACUATION_KIND_")
}

func stateName(s topologyv1.EvacuationState) string {
	return strings.TrimPrefix(s.String(), "EVACUATION_STATE_")
}

// changes tells whether slots may be on their way.
func changes(s topologyv1.EvacuationState) bool {
	switch s {
	case topologyv1.EvacuationState_EVACUATION_STATE_PLANNED, topologyv1.EvacuationState_EVACUATION_STATE_FLIPPING,
		topologyv1.EvacuationState_EVACUATION_STATE_PUBLISHING, topologyv1.EvacuationState_EVACUATION_STATE_ABORTING:
		return true
	default:
		return false
	}
}

func insert(ctx context.Context, tx sqldb.Tx, mv *move) error {
	e := mv.e
	body, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("evacuation: insert %s: %w", mv.id(), err)
	}
	_, err = tx.Exec(ctx, stmtInsert, mv.id(), nameOf(e.GetKind()), stateName(e.GetState()), changes(e.GetState()), e.GetWho(), e.GetReason(),
		e.GetStartedAt().AsTime(), endOf(e), expiryOf(e), e.GetUndoesId(), e.GetUndoneById(), mv.before, mv.after, int64(mv.version), body)
	return underWay(err)
}

// save what was changed of a move. errOvertaken, errChanging.
func save(ctx context.Context, q sqldb.Querier, mv *move) error {
	e := mv.e
	body, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("evacuation: save %s: %w", mv.id(), err)
	}
	n, err := q.Exec(ctx, stmtSave, mv.id(), mv.revision, stateName(e.GetState()), changes(e.GetState()), endOf(e), e.GetUndoneById(), int64(mv.version), body)
	if err != nil {
		return underWay(err)
	}
	if n == 0 {
		return errOvertaken
	}
	mv.revision++
	return nil
}

func underWay(err error) error {
	if name, ok := sqldb.UniqueViolation(err); ok && name == "evacuations_changing" {
		return errChanging
	}
	return err
}

func endOf(e *topologyv1.Evacuation) *time.Time {
	if e.GetEndedAt() == nil {
		return nil
	}
	at := e.GetEndedAt().AsTime()
	return &at
}

func expiryOf(e *topologyv1.Evacuation) *time.Time {
	if e.GetExpiresAt() == nil {
		return nil
	}
	at := e.GetExpiresAt().AsTime()
	return &at
}

func scanMove(r sqldb.Row) (*move, error) {
	mv := &move{e: &topologyv1.Evacuation{}}
	var id string
	var body []byte
	if err := r.Scan(&id, &mv.revision, &mv.before, &mv.after, &mv.version, &body); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(body, mv.e); err != nil {
		return nil, fmt.Errorf("evacuation: read %s: %w", id, err)
	}
	return mv, nil
}

// get a move. UNKNOWN_MOVE.
func (s store) get(ctx context.Context, id string) (*move, error) { return get(ctx, s.db, id) }

func get(ctx context.Context, q sqldb.Querier, id string) (*move, error) {
	mv, err := scanMove(q.QueryRow(ctx, stmtGet, id))
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, problem.New(problem.NotFound, "UNKNOWN_MOVE", "there is no such evacuation or other move")
	}
	return mv, err
}

// inState lets a transaction go on while a move is in the state that was read. errOvertaken.
func inState(mv *move) func(ctx context.Context, tx sqldb.Tx) error {
	id, want := mv.id(), stateName(mv.e.GetState())
	return func(ctx context.Context, tx sqldb.Tx) error {
		var now string
		if err := tx.QueryRow(ctx, stmtLockState, id).Scan(&now); err != nil {
			return fmt.Errorf("evacuation: state of %s: %w", id, err)
		}
		if now != want {
			return errOvertaken
		}
		return nil
	}
}

func (s store) list(ctx context.Context, limit int) ([]*move, error) {
	return sqldb.Collect(ctx, s.db, stmtList, scanMove, limit)
}

func scanID(r sqldb.Row) (id string, err error) {
	err = r.Scan(&id)
	return id, err
}

// open moves: those that have not ended, the oldest first.
func (s store) open(ctx context.Context) ([]string, error) {
	return sqldb.Collect(ctx, s.db, stmtOpen, scanID)
}

// changing move that has slots on their way; empty when there is none.
func (s store) changing(ctx context.Context) (id string, err error) {
	id, err = scanID(s.db.QueryRow(ctx, stmtChanging))
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", nil
	}
	return id, err
}

func (s store) expired(ctx context.Context, now time.Time) ([]string, error) {
	return sqldb.Collect(ctx, s.db, stmtExpired, scanID, now)
}

// countHomed customers with accounts and guests with carts of a ring, up to limit each.
func countHomed(ctx context.Context, customers *sqldb.DB, ring ident.Region, limit int) (accounts, guests int64, err error) {
	err = customers.QueryRow(ctx, stmtCountHomed, string(ring), limit).Scan(&accounts, &guests)
	return accounts, guests, err
}

// estimateHomed customers of all rings, by the database's statistics; 0 when it has none.
func estimateHomed(ctx context.Context, customers *sqldb.DB) (n int64, err error) {
	err = customers.QueryRow(ctx, stmtEstimateHomed).Scan(&n)
	return n, err
}
