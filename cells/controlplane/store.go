package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtNewestMap = sqldb.Define(sqldb.Global, "controlplane.newest_map", `
SELECT version, snapshot, made_at, who, reason
FROM maps
ORDER BY version DESC
LIMIT 1`)
	stmtNewestVersion = sqldb.Define(sqldb.Global, "controlplane.newest_version", `
SELECT version
FROM maps
ORDER BY version DESC
LIMIT 1`)
	stmtReadMap = sqldb.Define(sqldb.Global, "controlplane.read_map", `
SELECT version, snapshot, made_at, who, reason
FROM maps
WHERE version = $1`)
	stmtListMaps = sqldb.Define(sqldb.Global, "controlplane.list_maps", `
SELECT version, made_at, who, reason
FROM maps
ORDER BY version DESC
LIMIT $1`)
	stmtInsertMap = sqldb.Define(sqldb.Global, "controlplane.insert_map", `
INSERT INTO maps (version, snapshot, made_at, who, reason)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (version) DO NOTHING`)
	stmtForgetMaps = sqldb.Define(sqldb.Global, "controlplane.forget_maps", `
DELETE FROM maps
WHERE version <= $1`)

	stmtListCells = sqldb.Define(sqldb.Global, "controlplane.list_cells", `
SELECT cell_id, region, state, weight, capacity, public_address, internal_address, admin_address
FROM cells
ORDER BY cell_id`)
	stmtInsertCell = sqldb.Define(sqldb.Global, "controlplane.insert_cell", `
INSERT INTO cells (cell_id, region, state, weight, capacity, public_address, internal_address, admin_address, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (cell_id) DO NOTHING`)
	stmtSetState = sqldb.Define(sqldb.Global, "controlplane.set_state", `
UPDATE cells
SET state = $2, changed_at = $3
WHERE cell_id = $1`)
	stmtSetWeight = sqldb.Define(sqldb.Global, "controlplane.set_weight", `
UPDATE cells
SET weight = $2, changed_at = $3
WHERE cell_id = $1`)
	stmtSetAddresses = sqldb.Define(sqldb.Global, "controlplane.set_addresses", `
UPDATE cells
SET public_address = $2, internal_address = $3, admin_address = $4, changed_at = $5
WHERE cell_id = $1`)

	stmtListOverrides = sqldb.Define(sqldb.Global, "controlplane.list_overrides", `
SELECT customer_id, cell_id, who, reason, created_at, expires_at, applied
FROM overrides
ORDER BY customer_id`)
	stmtPutOverride = sqldb.Define(sqldb.Global, "controlplane.put_override", `
INSERT INTO overrides (customer_id, cell_id, who, reason, created_at, expires_at, applied)
VALUES ($1, $2, $3, $4, $5, $6, false)
ON CONFLICT (customer_id) DO UPDATE
SET cell_id = excluded.cell_id, who = excluded.who, reason = excluded.reason,
  created_at = excluded.created_at, expires_at = excluded.expires_at, applied = false`)
	stmtApplyOverride = sqldb.Define(sqldb.Global, "controlplane.apply_override", `
UPDATE overrides
SET applied = true
WHERE customer_id = $1`)
	stmtDeleteOverride = sqldb.Define(sqldb.Global, "controlplane.delete_override", `
DELETE FROM overrides
WHERE customer_id = $1`)

	stmtReadLever = sqldb.Define(sqldb.Global, "controlplane.read_lever", `
SELECT enabled, who, reason, changed_at, moved_cell, moved_at
FROM automation
WHERE name = 'evacuation'`)
	stmtMakeLever = sqldb.Define(sqldb.Global, "controlplane.make_lever", `
INSERT INTO automation (name, enabled, who, reason, changed_at, moved_cell, moved_at)
VALUES ('evacuation', $1, $2, $3, $4, '', $5)
ON CONFLICT (name) DO NOTHING`)
	stmtSetLever = sqldb.Define(sqldb.Global, "controlplane.set_lever", `
UPDATE automation
SET enabled = $1, who = $2, reason = $3, changed_at = $4
WHERE name = 'evacuation'`)
	stmtClaimMove = sqldb.Define(sqldb.Global, "controlplane.claim_move", `
UPDATE automation
SET moved_cell = $1, moved_at = $2
WHERE name = 'evacuation' AND enabled AND moved_at = $3`)

	stmtForgetMove = sqldb.Define(sqldb.Global, "controlplane.forget_move", `
UPDATE automation
SET moved_cell = '', moved_at = $1
WHERE name = 'evacuation'`)

	stmtInsertChange = sqldb.Define(sqldb.Global, "controlplane.insert_change", `
INSERT INTO topology_changes (change_id, at, who, reason, action, subject, map_version)
VALUES ($1, $2, $3, $4, $5, $6, $7)`)
	stmtListChanges = sqldb.Define(sqldb.Global, "controlplane.list_changes", `
SELECT change_id, at, who, reason, action, subject, map_version
FROM topology_changes
ORDER BY change_id DESC
LIMIT $1`)
)

// keptMaps of the history: weeks of a busy fleet, and at some 40 KiB a map no more than a search index would need.
const keptMaps = 1000

// store is what the control plane keeps in cellar_global.
type store struct{ db *sqldb.DB }

// made is who made a version of the map, when and why.
type made struct {
	version uint64
	at      time.Time
	cause   Cause
}

// stored map.
type stored struct {
	made
	snapshot []byte
}

func scanStored(r sqldb.Row) (s stored, err error) {
	err = r.Scan(&s.version, &s.snapshot, &s.at, &s.cause.Who, &s.cause.Reason)
	return s, err
}

// newest map; version 0 when there is none yet.
func (s store) newest(ctx context.Context) (stored, error) {
	m, err := scanStored(s.db.QueryRow(ctx, stmtNewestMap))
	if errors.Is(err, sqldb.ErrNoRows) {
		return stored{}, nil
	}
	return m, err
}

// newestVersion of the map; 0 when there is none yet.
func newestVersion(ctx context.Context, q sqldb.Querier) (v uint64, err error) {
	err = q.QueryRow(ctx, stmtNewestVersion).Scan(&v)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

// read one version. UNKNOWN_VERSION.
func (s store) read(ctx context.Context, version uint64) (stored, error) {
	m, err := scanStored(s.db.QueryRow(ctx, stmtReadMap, int64(version)))
	if errors.Is(err, sqldb.ErrNoRows) {
		return stored{}, unknownVersion(version)
	}
	return m, err
}

func unknownVersion(version uint64) error {
	return problem.New(problem.NotFound, "UNKNOWN_VERSION", fmt.Sprintf("the history has no map of version %d; it keeps the newest %d", version, keptMaps))
}

// list the history, the newest first.
func (s store) list(ctx context.Context, limit int) ([]made, error) {
	return sqldb.Collect(ctx, s.db, stmtListMaps, func(r sqldb.Row) (m made, err error) {
		err = r.Scan(&m.version, &m.at, &m.cause.Who, &m.cause.Reason)
		return m, err
	}, limit)
}

// insert the next map; false when somebody else has published that version.
func insertMap(ctx context.Context, tx sqldb.Tx, m stored) (bool, error) {
	n, err := tx.Exec(ctx, stmtInsertMap, int64(m.version), m.snapshot, m.at, m.cause.Who, m.cause.Reason)
	if err != nil || n == 0 || m.version <= keptMaps {
		return n == 1, err
	}
	_, err = tx.Exec(ctx, stmtForgetMaps, int64(m.version-keptMaps))
	return true, err
}

// listCells of the fleet, by id.
func listCells(ctx context.Context, q sqldb.Querier) ([]topology.Cell, error) {
	return sqldb.Collect(ctx, q, stmtListCells, func(r sqldb.Row) (c topology.Cell, err error) {
		err = r.Scan(&c.ID, &c.Region, &c.State, &c.Weight, &c.Capacity, &c.Public, &c.Internal, &c.Admin)
		return c, err
	})
}

// insertCell into the fleet; false when there is one of that name.
func insertCell(ctx context.Context, tx sqldb.Tx, c topology.Cell, at time.Time) (bool, error) {
	n, err := tx.Exec(ctx, stmtInsertCell, c.ID, string(c.Region), string(c.State), c.Weight, c.Capacity, c.Public, c.Internal, c.Admin, at)
	return n == 1, err
}

// Each setting has a statement of its own, so that two that are changed at once do not undo each other.

func setState(ctx context.Context, q sqldb.Querier, cell string, state topology.State, at time.Time) error {
	_, err := q.Exec(ctx, stmtSetState, cell, string(state), at)
	return err
}

func setWeight(ctx context.Context, q sqldb.Querier, cell string, weight int, at time.Time) error {
	_, err := q.Exec(ctx, stmtSetWeight, cell, weight, at)
	return err
}

func setAddresses(ctx context.Context, q sqldb.Querier, c topology.Cell, at time.Time) error {
	_, err := q.Exec(ctx, stmtSetAddresses, c.ID, c.Public, c.Internal, c.Admin, at)
	return err
}

// override as it is recorded.
type override struct {
	customer             ident.CustomerID
	cell                 string
	cause                Cause
	createdAt, expiresAt time.Time
	applied              bool
}

// listOverrides by customer: as many as a map may have, and those that are being made.
func (s store) listOverrides(ctx context.Context) ([]override, error) {
	return sqldb.Collect(ctx, s.db, stmtListOverrides, func(r sqldb.Row) (o override, err error) {
		err = r.Scan(&o.customer, &o.cell, &o.cause.Who, &o.cause.Reason, &o.createdAt, &o.expiresAt, &o.applied)
		return o, err
	})
}

func (s store) putOverride(ctx context.Context, o override) error {
	_, err := s.db.Exec(ctx, stmtPutOverride, string(o.customer), o.cell, o.cause.Who, o.cause.Reason, o.createdAt, o.expiresAt)
	return err
}

func applyOverride(ctx context.Context, tx sqldb.Tx, id ident.CustomerID) error {
	_, err := tx.Exec(ctx, stmtApplyOverride, string(id))
	return err
}

func deleteOverride(ctx context.Context, tx sqldb.Tx, id ident.CustomerID) error {
	_, err := tx.Exec(ctx, stmtDeleteOverride, string(id))
	return err
}

// lever of automation.
type lever struct {
	enabled   bool
	cause     Cause
	changedAt time.Time
	movedCell string
	movedAt   time.Time
}

// never is a time before all others.
var never = time.Unix(0, 0).UTC()

// readLever; it is on until somebody has pulled it.
func (s store) readLever(ctx context.Context) (l lever, err error) {
	err = s.db.QueryRow(ctx, stmtReadLever).Scan(&l.enabled, &l.cause.Who, &l.cause.Reason, &l.changedAt, &l.movedCell, &l.movedAt)
	return l, err
}

// makeLever where there is none.
func (s store) makeLever(ctx context.Context, enabled bool, cause Cause, at time.Time) error {
	_, err := s.db.Exec(ctx, stmtMakeLever, enabled, cause.Who, cause.Reason, at, never)
	return err
}

func setLever(ctx context.Context, tx sqldb.Tx, enabled bool, cause Cause, at time.Time) error {
	_, err := tx.Exec(ctx, stmtSetLever, enabled, cause.Who, cause.Reason, at)
	return err
}

// claimMove of a cell for automation: false when the lever is off by now, or somebody else has moved a cell since seen.
func (s store) claimMove(ctx context.Context, cell string, at, seen time.Time) (bool, error) {
	n, err := s.db.Exec(ctx, stmtClaimMove, cell, at, seen)
	return n == 1, err
}

// forgetMove that automation has made: a person has taken it back, and need not be waited for any more.
func (s store) forgetMove(ctx context.Context) error {
	_, err := s.db.Exec(ctx, stmtForgetMove, never)
	return err
}

// change of the audit trail.
type change struct {
	id              string
	at              time.Time
	cause           Cause
	action, subject string
	version         uint64
}

// lastRecorded keeps the changes of this process in order, also those of one moment.
var lastRecorded atomic.Int64

// record a change.
func record(ctx context.Context, q sqldb.Querier, c change) error {
	at := c.at.UnixMicro()
	for {
		last := lastRecorded.Load()
		if at = max(at, last+1); lastRecorded.CompareAndSwap(last, at) {
			break
		}
	}
	id := fmt.Sprintf("%016x-%s", at, strings.ToLower(rand.Text()[:6]))
	_, err := q.Exec(ctx, stmtInsertChange, id, c.at, c.cause.Who, c.cause.Reason, c.action, c.subject, int64(c.version))
	return err
}

// listChanges, the newest first.
func (s store) listChanges(ctx context.Context, limit int) ([]change, error) {
	return sqldb.Collect(ctx, s.db, stmtListChanges, func(r sqldb.Row) (c change, err error) {
		err = r.Scan(&c.id, &c.at, &c.cause.Who, &c.cause.Reason, &c.action, &c.subject, &c.version)
		return c, err
	}, limit)
}
