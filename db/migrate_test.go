package db_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/db"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

func TestTheStepsLeadToTheWholeSchema(t *testing.T) {
	for _, database := range sqldb.Databases() {
		t.Run(string(database), func(t *testing.T) {
			migrated := catalogue(t, sqldbtest.New(t, database))
			fresh := sqldbtest.New(t, database)
			text, err := db.Whole(database)
			if err != nil {
				t.Fatal(err)
			}
			// A clean schema, then the whole text at once.
			reset := "DROP SCHEMA public CASCADE; CREATE SCHEMA public;" +
				strings.Join(db.RegionStatements(sqldb.Postgres, database, ident.Regions())[:1], ";") + ";"
			if err := fresh.ExecText(t.Context(), reset+text); err != nil {
				t.Fatal(err)
			}
			whole := catalogue(t, fresh)
			for _, line := range migrated {
				if !contains(whole, line) && !strings.Contains(line, "schema_migrations") {
					t.Errorf("only the steps make: %s", line)
				}
			}
			for _, line := range whole {
				if !contains(migrated, line) {
					t.Errorf("only the whole schema makes: %s", line)
				}
			}
		})
	}
}

// catalogue describes every column, constraint and index.
func catalogue(t *testing.T, pool *sqldb.DB) []string {
	t.Helper()
	rows, err := pool.QueryText(t.Context(), `
SELECT 'column ' || table_name || '.' || column_name || ' ' || udt_name || ' ' || is_nullable || ' ' || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

func contains(lines []string, line string) bool {
	for _, l := range lines {
		if l == line {
			return true
		}
	}
	return false
}

func TestMigratingTwiceAndAtOnceChangesNothing(t *testing.T) {
	pool := sqldbtest.New(t, sqldb.Customer)
	before := catalogue(t, pool)
	var wg sync.WaitGroup
	for _, holder := range []string{"a", "b", "c"} {
		wg.Go(func() {
			m := db.Migrator{DB: pool, Clock: clock.System{}, Holder: holder, Regions: ident.Regions()}
			if n, err := m.Run(context.Background()); err != nil || n != 0 {
				t.Errorf("%s applied %d steps, %v", holder, n, err)
			}
		})
	}
	wg.Wait()
	if after := catalogue(t, pool); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Error("the schema changed")
	}
}

// Each file holds one statement, and every column of every table says what it is.
func TestTheFilesKeepTheRules(t *testing.T) {
	for _, database := range sqldb.Databases() {
		steps, err := db.Steps(database)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if n := strings.Count(stripComments(s.Text), ";"); n != 1 {
				t.Errorf("%s/%s has %d statements", database, s.Name, n)
			}
			if !strings.Contains(s.Text, "IF NOT EXISTS") && !strings.Contains(s.Text, "DROP INDEX IF EXISTS") && !strings.Contains(s.Text, "DROP CONSTRAINT IF EXISTS") {
				t.Errorf("%s/%s cannot run twice", database, s.Name)
			}
			for line := range strings.SplitSeq(s.Text, "\n") {
				column := strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "  CONSTRAINT")
				if column && !strings.Contains(line, " -- ") {
					t.Errorf("%s/%s: no comment on %q", database, s.Name, line)
				}
			}
			homed := strings.Contains(s.Text, "REGIONAL BY ROW")
			if homed && !strings.Contains(s.Text, "PRIMARY KEY (region, ") {
				t.Errorf("%s/%s: the region must lead the key", database, s.Name)
			}
		}
	}
}

func stripComments(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		code, _, _ := strings.Cut(line, "--")
		b.WriteString(code + "\n")
	}
	return b.String()
}

func TestCockroachText(t *testing.T) {
	got := strings.Join(db.RegionStatements(sqldb.Cockroach, sqldb.Regional, ident.Regions()), ";\n")
	want := `ALTER DATABASE cellar_regional SET PRIMARY REGION "us-east-1";
ALTER DATABASE cellar_regional ADD REGION IF NOT EXISTS "us-west-2";
ALTER DATABASE cellar_regional ADD REGION IF NOT EXISTS "eu-central-1";
ALTER DATABASE cellar_regional SURVIVE ZONE FAILURE`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, database := range sqldb.Databases() {
		steps, err := db.Steps(database)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			text := sqldb.Render(sqldb.Cockroach, s.Text)
			if strings.Contains(text, "CREATE TABLE") && !strings.Contains(text, "\n) LOCALITY ") {
				t.Errorf("%s/%s has no locality on CockroachDB:\n%s", database, s.Name, text)
			}
			if strings.Contains(sqldb.Render(sqldb.Postgres, s.Text), "LOCALITY") {
				t.Errorf("%s/%s shows its locality to PostgreSQL", database, s.Name)
			}
		}
	}
}
