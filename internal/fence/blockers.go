package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// ApplicationName is what all database sessions of a cell call themselves, so that whoever moves its slots can tell them
// from the sessions of others.
func ApplicationName(cell string) string { return "cell " + cell }

// IdleInTransaction is after how long the server ends a session of a cell that sits in a transaction and says nothing:
// the last resort against a process that hangs while it holds a slot's row, when nobody calls EndBlockers. Between the
// statements of a transaction a cell does no I/O, so it is a hundred times what a busy machine needs, and still less than a
// client's patience.
const IdleInTransaction = 5 * time.Second

// Sessions that hold more than the lock of a reader on the table of slots are inside a fenced write, or wait in one. On
// CockroachDB there is nobody to end: at SERIALIZABLE a writer pushes those who have read, and they fail at their commit.
var stmtEndBlockers = sqldb.Define(sqldb.Customer, "fence.end_blockers", `
SELECT /*@CRDB 0 @*//*@PG count(*) FILTER (WHERE pg_terminate_backend(s.pid))
FROM (
  SELECT DISTINCT a.pid
  FROM pg_locks AS l
  JOIN pg_stat_activity AS a ON a.pid = l.pid
  WHERE l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation = 'slots'::regclass
    AND l.mode <> 'AccessShareLock'
    AND a.pid <> pg_backend_pid()
    AND a.application_name = $1
    AND a.xact_start <= clock_timestamp() - make_interval(secs => $2)
) AS s @*/`)

// EndBlockers ends the sessions of an application (ApplicationName of a cell) whose transactions began at least age ago
// and hold rows of slots, and tells how many were asked to end. A process that was stopped in the middle of a write, or
// whose machine is gone, holds its slots' rows until then, and a change of owner waits for it; what it wrote is rolled
// back, and nothing of it commits. Sessions of other applications, and those of the same that hold no slot, are left
// alone. Call it beside the statement that waits, on another connection of cellar_customer; age is how long a healthy
// write may take. The locks are free some milliseconds after it returns. On CockroachDB it does nothing and tells 0.
func EndBlockers(ctx context.Context, db *sqldb.DB, application string, age time.Duration) (ended int64, err error) {
	if db.Dialect() == sqldb.Cockroach {
		return 0, nil
	}
	if err := db.QueryRow(ctx, stmtEndBlockers, application, age.Seconds()).Scan(&ended); err != nil {
		return 0, fmt.Errorf("fence: end the sessions of %q that hold slots: %w", application, err)
	}
	return ended, nil
}
