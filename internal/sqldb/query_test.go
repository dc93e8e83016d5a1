package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestABatchRunsInOrderAndTellsEachStatementItsRows(t *testing.T) {
	db := newTally(t)
	var told []string
	note := func(what string) func(int64) error {
		return func(rows int64) error { told = append(told, fmt.Sprint(what, rows)); return nil }
	}
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		told = nil
		var b sqldb.Batch
		b.Queue(stmtTallyAdd, note("missing "), "b", 5) // the row is not there yet
		b.Queue(stmtTallyInsert, note("inserted "), "b", 1)
		b.Queue(stmtTallyAdd, nil, "b", 2)
		b.Queue(stmtTallyAdd, note("added "), "b", 3)
		if b.Len() != 4 {
			t.Errorf("%d statements are queued", b.Len())
		}
		return tx.Send(t.Context(), &b)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"missing 0", "inserted 1", "added 1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if n := tally(t, db, "b"); n != 6 {
		t.Errorf("b stands at %d", n)
	}
}

func TestABatchWhoseCallbackRefusesChangesNothing(t *testing.T) {
	db := newTally(t, sqldbtest.WithMaxConns(1))
	refusal := problem.New(problem.Aborted, "CHANGED", "somebody else was faster")
	later := false
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		var b sqldb.Batch
		b.Queue(stmtTallyAdd, nil, "a", 1)
		b.Queue(stmtTallyAdd, func(rows int64) error {
			if rows == 0 {
				return refusal
			}
			return nil
		}, "nobody", 1)
		b.Queue(stmtTallyAdd, func(int64) error { later = true; return nil }, "a", 1)
		return tx.Send(t.Context(), &b)
	})
	if err != refusal || later { //nolint:errorlint // it must be the very error
		t.Errorf("got %v; the statement after it was told: %v", err, later)
	}
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("a stands at %d", n)
	}
}

func TestAFailedStatementOfABatchIsNamed(t *testing.T) {
	db := newTally(t)
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		var b sqldb.Batch
		b.Queue(stmtTallyAdd, nil, "a", 1)
		b.Queue(stmtTallyInsert, nil, "a", 1)
		return tx.Send(t.Context(), &b)
	})
	if constraint, ok := sqldb.UniqueViolation(err); !ok || constraint != "tally_pk" || !strings.HasPrefix(err.Error(), "sqldb_test.tally_insert: ") {
		t.Errorf("got %v", err)
	}
}

func TestAnEmptyBatchIsNoRoundTrip(t *testing.T) {
	db := newTally(t)
	if err := db.InTx(t.Context(), func(tx sqldb.Tx) error { return tx.Send(t.Context(), &sqldb.Batch{}) }); err != nil {
		t.Fatal(err)
	}
}

type named struct {
	name string
	n    int64
}

func scanNamed(r sqldb.Row) (v named, err error) { return v, r.Scan(&v.name, &v.n) }

func TestCollectReadsEveryRowInOrder(t *testing.T) {
	db := newTally(t)
	if none, err := sqldb.Collect(t.Context(), db, stmtTallyLock, func(r sqldb.Row) (n int64, err error) { return n, r.Scan(&n) }, "nobody"); err != nil || none != nil {
		t.Errorf("no rows: got %v, %v", none, err)
	}
	if _, err := db.Exec(t.Context(), stmtTallyInsert, "b", 7); err != nil {
		t.Fatal(err)
	}
	got, err := sqldb.Collect(t.Context(), db, stmtTallyList, scanNamed)
	if err != nil || !slices.Equal(got, []named{{"a", 0}, {"b", 7}}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCollectNamesTheStatementWhoseRowsCannotBeRead(t *testing.T) {
	db := newTally(t, sqldbtest.WithMaxConns(1))
	_, err := sqldb.Collect(t.Context(), db, stmtTallyList, func(r sqldb.Row) (n int64, err error) { return n, r.Scan(&n) })
	if err == nil || !strings.HasPrefix(err.Error(), "sqldb_test.tally_list: ") || problem.KindOf(err) != problem.Internal {
		t.Errorf("got %v", err)
	}
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("a stands at %d", n)
	}
}

func TestViolationsAreToldApartAndName(t *testing.T) {
	db := newTally(t)
	run := func(s *sqldb.Statement, args ...any) error { _, err := db.Exec(t.Context(), s, args...); return err }
	unique, check, foreign := run(stmtTallyInsert, "a", 1), run(stmtTallyAdd, "a", 100), run(stmtMarkInsert, 1, "nobody")
	for name, c := range map[string]struct {
		test       func(error) (string, bool)
		is         error
		isNot      []error
		constraint string
	}{
		"unique":  {sqldb.UniqueViolation, unique, []error{check, foreign, nil, sqldb.ErrNoRows}, "tally_pk"},
		"check":   {sqldb.CheckViolation, check, []error{unique, foreign, nil}, "tally_n_is_small"},
		"foreign": {sqldb.ForeignKeyViolation, foreign, []error{unique, check, nil}, "marks_name_exists"},
	} {
		if constraint, ok := c.test(fmt.Errorf("add product p1: %w", c.is)); !ok || constraint != c.constraint {
			t.Errorf("%s: got %q, %v from %v", name, constraint, ok, c.is)
		}
		for _, other := range c.isNot {
			if _, ok := c.test(other); ok {
				t.Errorf("%s: took %v for one", name, other)
			}
		}
		if problem.KindOf(c.is) != problem.Internal {
			t.Errorf("%s: a violation nobody handles is a bug, not %v", name, problem.KindOf(c.is))
		}
	}
}

func TestNoRowIsErrNoRows(t *testing.T) {
	db := newTally(t)
	var n int64
	if err := db.QueryRow(t.Context(), stmtTallyGet, "nobody").Scan(&n); !errors.Is(err, sqldb.ErrNoRows) {
		t.Errorf("got %v", err)
	}
}

func TestAMissingTableOrDatabaseIsAMissingSchema(t *testing.T) {
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	if _, err := db.Exec(t.Context(), stmtTallyAdd, "a", 1); !sqldb.MissingSchema(err) {
		t.Errorf("a missing table: %v", err)
	}
	_, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Database: "cellar_nowhere"})
	if !sqldb.MissingSchema(err) {
		t.Errorf("a missing database: %v", err)
	}
	if sqldb.MissingSchema(nil) || sqldb.MissingSchema(sqldb.ErrNoRows) {
		t.Error("no error, or no row, was taken for a missing schema")
	}
}

func TestAServerThatRefusesConnectionsIsUnavailable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sqldb.Open(t.Context(), sqldb.Config{URL: "postgres://somebody:hunter2@" + address + "/x?sslmode=disable", Database: sqldb.Global})
	if p := problem.As(err); p == nil || p.Kind != problem.Unavailable || p.Reason != "DATABASE_UNAVAILABLE" {
		t.Errorf("got %v", err)
	}
	if err != nil && strings.Contains(problem.ToConnect(err).Error(), address) {
		t.Errorf("the client would learn the address: %v", problem.ToConnect(err))
	}
}

func TestAMalformedURLIsNotShown(t *testing.T) {
	_, err := sqldb.Open(t.Context(), sqldb.Config{URL: "postgres://u:hunter2@[::1/x", Database: sqldb.Global})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// A session that the server ends is what a failover looks like to its clients.
func TestASessionThatTheServerEndsIsUnavailable(t *testing.T) {
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	other := sqldbtest.Reopen(t, sqldb.Customer, url)
	if err := db.ExecText(t.Context(), tallyTable); err != nil {
		t.Fatal(err)
	}
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		kill := `DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle in transaction'; END $$`
		if _, err := tx.Exec(t.Context(), stmtTallyAdd, "a", 1); err != nil { // a transaction begins with its first statement
			return err
		}
		if err := other.ExecText(t.Context(), kill); err != nil {
			t.Error(err)
		}
		_, err := tx.Exec(t.Context(), stmtTallyAdd, "a", 1)
		return err
	})
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the pool does not recover: %v", err)
	}
}

// Whoever gave up is told so; it is no sign that the database is away.
func TestTheEndOfTheCallersContextIsNotAnOutage(t *testing.T) {
	db := newTally(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, alone := db.Exec(ended, stmtTallyAdd, "a", 1)
	inside := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		_, err := tx.Exec(ended, stmtTallyAdd, "a", 1)
		return err
	})
	begin := db.InTx(ended, func(sqldb.Tx) error { return nil })
	for name, err := range map[string]error{"a single statement": alone, "a statement of a transaction": inside, "the begin": begin} {
		if !errors.Is(err, context.Canceled) || problem.Is(err, "DATABASE_UNAVAILABLE") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAPoolKnowsItsServerAndDatabase(t *testing.T) {
	db := newTally(t)
	if db.Dialect() != sqldb.Postgres || db.Database() != sqldb.Customer {
		t.Errorf("got %v, %v", db.Dialect(), db.Database())
	}
	rows, err := db.QueryText(t.Context(), "SELECT $1::text /*@CRDB || 'no' @*/", "yes")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got string
	if !rows.Next() || rows.Scan(&got) != nil || got != "yes" {
		t.Errorf("got %q", got)
	}
}

func TestTheLastStatementsCanBeReadAndAreCommittedAllTheSame(t *testing.T) {
	for name, options := range map[string][]sqldbtest.Option{
		"in one trip": nil, "in two": {sqldbtest.WithFaults(func(sqldb.Point) error { return nil })},
	} {
		t.Run(name, func(t *testing.T) {
			db := newTally(t, options...)
			var touched, read int64
			err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
				var b sqldb.Batch
				b.Queue(stmtTallyAdd, func(n int64) error { touched = n; return nil }, "a", 3)
				b.QueueRead(stmtTallyGet, sqldb.Each(func(r sqldb.Row) error { return r.Scan(&read) }), "a")
				return tx.SendLast(t.Context(), &b)
			})
			if err != nil || touched != 1 || read != 3 || tally(t, db, "a") != 3 {
				t.Errorf("touched %d rows, read %d, stored %d, %v", touched, read, tally(t, db, "a"), err)
			}
			err = db.InTx(t.Context(), func(tx sqldb.Tx) error {
				var b sqldb.Batch
				b.Queue(stmtTallyAdd, nil, "a", 1)
				b.Queue(stmtTallyInsert, nil, "a", nil) // refused: the row has no number, and is there already
				b.QueueRead(stmtTallyGet, sqldb.Each(func(r sqldb.Row) error { return r.Scan(&read) }), "a")
				return tx.SendLast(t.Context(), &b)
			})
			if !sqldb.NotNullViolation(err) || errors.Is(err, sqldb.ErrAmbiguous) || tally(t, db, "a") != 3 {
				t.Errorf("got %v, stored %d", err, tally(t, db, "a"))
			}
		})
	}
}

func TestTheObserverIsToldOfEachRoundTripAndItsStatements(t *testing.T) {
	seen := &sent{}
	db := newTally(t, observedBy(seen))
	trips, statements := seen.trips, seen.statements // what opening took
	if _, err := db.Exec(t.Context(), stmtTallyInsert, "trips", 0); err != nil {
		t.Fatal(err)
	}
	var b sqldb.Batch
	b.Queue(stmtTallyAdd, nil, "trips", 1)
	b.Queue(stmtTallyAdd, nil, "trips", 1)
	if err := db.Send(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if trips, statements = seen.trips-trips, seen.statements-statements; trips != 2 || statements != 1+4 {
		t.Errorf("%d round trips and %d statements, not 2 and 5: begin and commit go with the batch", trips, statements)
	}
}
