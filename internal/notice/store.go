package notice

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsert = sqldb.Define(sqldb.Customer, "notice.insert", `
INSERT INTO notifications (region, customer_id, cause, kind, detail, pending, begun, repeated, state, attempts, due_at, created_at)
SELECT $1::crdb_internal_region, n.customer_id, n.cause, n.kind, n.detail, $6, 0, 0, 'WAITING', 0, $7, $7
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) AS n (customer_id, cause, kind, detail)
ON CONFLICT (region, customer_id, cause) DO NOTHING`)

	// From one that was seen on, so that those of another cell do not stand before this one's.
	stmtDue = sqldb.Define(sqldb.Customer, "notice.due", `
SELECT customer_id, cause, due_at
FROM notifications
WHERE region = $1 AND due_at <= $2 AND (due_at, customer_id, cause) > ($3, $4, $5)
ORDER BY due_at, customer_id, cause
LIMIT $6`)

	stmtLock = sqldb.Define(sqldb.Customer, "notice.lock", `
SELECT detail, pending, begun, repeated, state, attempts
FROM notifications
WHERE region = $1 AND customer_id = $2 AND cause = $3 AND due_at <= $4
FOR UPDATE`)

	stmtStore = sqldb.Define(sqldb.Customer, "notice.store", `
UPDATE notifications
SET detail = $4, pending = $5, begun = $6, repeated = $7, state = $8, attempts = $9, due_at = $10
WHERE region = $1 AND customer_id = $2 AND cause = $3`)

	// A try that somebody else has taken over is not this one's to end.
	stmtEnd = sqldb.Define(sqldb.Customer, "notice.end", `
UPDATE notifications
SET detail = $5, pending = $6, begun = $7, state = $8, due_at = $9
WHERE region = $1 AND customer_id = $2 AND cause = $3 AND attempts = $4 AND state = 'WAITING'`)

	stmtForget = sqldb.Define(sqldb.Customer, "notice.forget", `
DELETE FROM notifications
WHERE region = $1 AND customer_id = $2 AND cause = $3`)
)

// States of a notice.
const (
	waiting = "WAITING"
	done    = "DONE"
	parked  = "PARKED"
)

// place of a notice in the order in which they are due.
type place struct {
	customer ident.CustomerID
	cause    string
	due      time.Time
}

// row of a notice.
type row struct {
	detail                   []byte
	pending, begun, repeated int16
	state                    string
	attempts                 int32
}

func (s *Sender) list(ctx context.Context, ring ident.Region, now time.Time, after place) ([]place, error) {
	return sqldb.Collect(ctx, s.deps.DB, stmtDue, func(r sqldb.Row) (p place, err error) {
		err = r.Scan(&p.customer, &p.cause, &p.due)
		return p, err
	}, string(ring), now, after.due, string(after.customer), after.cause, pageSize)
}

// lock a notice that is due; nil when it is not, any more.
func lock(ctx context.Context, tx sqldb.Tx, p place, now time.Time) (*row, error) {
	var r row
	err := tx.QueryRow(ctx, stmtLock, string(p.customer.Region()), string(p.customer), p.cause, now).
		Scan(&r.detail, &r.pending, &r.begun, &r.repeated, &r.state, &r.attempts)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

func store(ctx context.Context, tx sqldb.Tx, p place, r *row, due time.Time) error {
	_, err := tx.Exec(ctx, stmtStore, string(p.customer.Region()), string(p.customer), p.cause, r.detail, r.pending, r.begun, r.repeated, r.state, r.attempts, due)
	return err
}

func end(ctx context.Context, tx sqldb.Tx, p place, r *row, due time.Time) error {
	_, err := tx.Exec(ctx, stmtEnd, string(p.customer.Region()), string(p.customer), p.cause, r.attempts, r.detail, r.pending, r.begun, r.state, due)
	return err
}

func forget(ctx context.Context, tx sqldb.Tx, p place) error {
	_, err := tx.Exec(ctx, stmtForget, string(p.customer.Region()), string(p.customer), p.cause)
	return err
}

func unpack(detail []byte) (*notificationv1.Notice, error) {
	n := &notificationv1.Notice{}
	return n, proto.Unmarshal(detail, n)
}
