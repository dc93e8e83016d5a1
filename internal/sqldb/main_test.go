package sqldb_test

import (
	"context"
	"testing"

	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

// A tally is the smallest table on which effects can be counted.
const tallyTable = `
CREATE TABLE tally (
  name text NOT NULL,
  n int8 NOT NULL,
  CONSTRAINT tally_pk PRIMARY KEY (name),
  CONSTRAINT tally_n_is_small CHECK (n < 100)
)`

const markTable = `
CREATE TABLE marks (
  id int8 NOT NULL,
  name text NOT NULL,
  CONSTRAINT marks_pk PRIMARY KEY (id),
  CONSTRAINT marks_name_exists FOREIGN KEY (name) REFERENCES tally (name)
)`

var (
	stmtTallyInsert = sqldb.Define(sqldb.Any, "sqldb_test.tally_insert", `INSERT INTO tally (name, n) VALUES ($1, $2)`)
	stmtTallyAdd    = sqldb.Define(sqldb.Any, "sqldb_test.tally_add", `UPDATE tally SET n = n + $2 WHERE name = $1`)
	stmtTallyGet    = sqldb.Define(sqldb.Any, "sqldb_test.tally_get", `SELECT n FROM tally WHERE name = $1`)
	stmtTallyList   = sqldb.Define(sqldb.Any, "sqldb_test.tally_list", `SELECT name, n FROM tally ORDER BY name LIMIT 10`)
	stmtTallyLock   = sqldb.Define(sqldb.Any, "sqldb_test.tally_lock", `SELECT n FROM tally WHERE name = $1 FOR UPDATE`)
	stmtMarkInsert  = sqldb.Define(sqldb.Any, "sqldb_test.mark_insert", `INSERT INTO marks (id, name) VALUES ($1, $2)`)
)

// newTally is a database with one tally, "a", that stands at 0.
func newTally(t *testing.T, options ...sqldbtest.Option) *sqldb.DB {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Customer, options...)
	for _, text := range []string{tallyTable, markTable} {
		if err := db.ExecText(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(t.Context(), stmtTallyInsert, "a", 0); err != nil {
		t.Fatal(err)
	}
	return db
}

func tally(t *testing.T, q sqldb.Querier, name string) (n int64) {
	t.Helper()
	if err := q.QueryRow(context.Background(), stmtTallyGet, name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// addOne is a transaction's closure that counts its runs.
func addOne(ctx context.Context, runs *int) func(sqldb.Tx) error {
	return func(tx sqldb.Tx) error {
		*runs++
		_, err := tx.Exec(ctx, stmtTallyAdd, "a", 1)
		return err
	}
}
