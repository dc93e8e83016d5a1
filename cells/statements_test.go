package cells_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	_ "github.com/cellar-commerce/cellar/cells" // every service's statements
	_ "github.com/cellar-commerce/cellar/cells/controlplane"
	_ "github.com/cellar-commerce/cellar/db"             // the migrator's
	_ "github.com/cellar-commerce/cellar/internal/audit" // the audit's
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

var update = flag.Bool("update", false, "write the golden file anew")

const golden = "testdata/cockroach.sql"

// statements of the program; those that tests define are left out.
func statements() []*sqldb.Statement {
	var all []*sqldb.Statement
	for _, s := range sqldb.Statements() {
		if !strings.Contains(s.Name(), "_test.") {
			all = append(all, s)
		}
	}
	return all
}

func TestTheTextForCockroachDBIsWhatWasReviewed(t *testing.T) {
	var b strings.Builder
	b.WriteString("-- Every statement as CockroachDB gets it. Made by: go test ./cells -run CockroachDB -update\n")
	for _, s := range statements() {
		fmt.Fprintf(&b, "\n-- %s (%s)\n%s;\n", s.Name(), s.Database(), s.Text(sqldb.Cockroach))
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("statements have changed; look at what CockroachDB would get, then run the command in %s", golden)
	}
}

// foreign to CockroachDB, or silently without effect there.
var foreign = regexp.MustCompile(`(?i)pg_advisory|LISTEN |NOTIFY |FOR SHARE|FOR NO KEY UPDATE|FOR KEY SHARE|DEFERRABLE|CREATE TEMP|ctid|/\*@`)

func TestNothingInTheTextIsForeignToCockroachDB(t *testing.T) {
	for _, s := range statements() {
		if found := foreign.FindString(s.Text(sqldb.Cockroach)); found != "" {
			t.Errorf("%s has %q", s.Name(), found)
		}
	}
}

// regionLeads recognises a statement that names the home of the rows it touches.
var regionLeads = regexp.MustCompile(`(?s)region\s*=\s*(\$\d+|'[a-z0-9-]+'|\w+\.region)|\(region,|SELECT \$1::crdb_internal_region`)

// touches recognises a statement on some table.
var touches = regexp.MustCompile(`\b(FROM|INTO|UPDATE)\b`)

func TestStatementsOnHomedRowsNameTheRegion(t *testing.T) {
	for _, s := range statements() {
		if s.Database() == sqldb.Global || strings.HasPrefix(s.Name(), "migrate.") || s.Name() == "evacuation.estimate_homed" || !touches.MatchString(s.Text(sqldb.Cockroach)) {
			continue
		}
		if !regionLeads.MatchString(s.Text(sqldb.Cockroach)) {
			t.Errorf("%s names no region: it would ask every one", s.Name())
		}
	}
}

// whole passes that are meant: small tables, and reports over everything.
var wholePasses = map[string]string{
	"catalog.categories":          "counts every listing; its answer is kept for half a minute",
	"controlplane.list_cells":     "at most 1,024 cells",
	"controlplane.list_changes":   "by the time that leads the index, with a limit",
	"controlplane.list_maps":      "by version, with a limit",
	"controlplane.list_overrides": "at most 512 overrides",
	"controlplane.newest_map":     "the last of the index",
	"controlplane.newest_version": "the last of the index",
	"evacuation.list":             "by the time that leads the index, with a limit",
	"evacuation.open":             "the index has only what is open",
	"fulfillment.list_centers":    "175 rows, kept for a minute",
	"migrate.applied":             "some dozens of rows",
	"outbox.lag":                  "the index has only what is pending",
	"saga.behind":                 "the index has only what is live, and it is asked when slots have moved",
	"saga.count_parked":           "the index has only what is parked",
	"saga.due":                    "the index has only what is live",
	"saga.stale":                  "the index has only what is live, and it is asked when slots have come",
	"saga.under_way":              "the index has only what is live, and it is asked when a move is planned",
}

func TestEveryStatementFindsItsRowsByAnIndex(t *testing.T) {
	pools := map[sqldb.Database]*sqldb.DB{}
	for _, database := range sqldb.Databases() {
		pools[database] = sqldbtest.New(t, database, sqldbtest.WithMaxConns(1)) // settings and prepared statements are a session's
		for _, setting := range []string{"SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan"} {
			if err := pools[database].ExecText(t.Context(), setting); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, s := range statements() {
		database := s.Database()
		if database == sqldb.Any {
			database = sqldb.Customer
		}
		if strings.HasPrefix(s.Name(), "audit.") || wholePasses[s.Name()] != "" {
			continue
		}
		for _, scan := range scans(t, pools[database], fmt.Sprintf("s%d", i), s) {
			t.Errorf("%s: %s", s.Name(), scan)
		}
	}
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// scans without a condition on an index in a statement's plan.
func scans(t *testing.T, pool *sqldb.DB, name string, s *sqldb.Statement) []string {
	t.Helper()
	text := s.Text(sqldb.Postgres)
	if err := pool.ExecText(t.Context(), "PREPARE "+name+" AS "+text); err != nil {
		t.Fatalf("%s: %v", s.Name(), err)
	}
	highest := 0
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err == nil {
			highest = max(highest, n)
		}
	}
	call := name
	if highest > 0 {
		call += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", highest), ", ") + ")"
	}
	return bare(explain(t, pool, call))
}

// node of a plan.
type node struct {
	Type      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	Condition string `json:"Index Cond"`
	Filter    string `json:"Filter"`
	Plans     []node `json:"Plans"`
}

func explain(t *testing.T, pool *sqldb.DB, call string) node {
	t.Helper()
	rows, err := pool.QueryText(context.Background(), "EXPLAIN (FORMAT JSON) EXECUTE "+call)
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	defer rows.Close()
	var plan []struct{ Plan node }
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &plan); err != nil {
			t.Fatal(err)
		}
	}
	if rows.Err() != nil || len(plan) != 1 {
		t.Fatalf("%s: %d plans, %v", call, len(plan), rows.Err())
	}
	return plan[0].Plan
}

func bare(n node) (found []string) {
	whole := n.Type == "Seq Scan" || ((n.Type == "Index Scan" || n.Type == "Index Only Scan") && n.Condition == "")
	if whole && n.Relation != "" {
		found = append(found, n.Type+" of all "+n.Relation)
	}
	if strings.Contains(n.Filter, "= ANY") && !strings.Contains(n.Filter, "status") && !strings.Contains(n.Filter, "state") {
		found = append(found, n.Type+" of "+n.Relation+" compares every row it passes with a list: "+n.Filter)
	}
	for _, child := range n.Plans {
		found = append(found, bare(child)...)
	}
	return found
}

func TestAStatementWithoutAnIndexWouldBeFound(t *testing.T) {
	pool := sqldbtest.New(t, sqldb.Customer, sqldbtest.WithMaxConns(1))
	for _, text := range []string{"SET enable_seqscan = off", "PREPARE bad AS SELECT order_id FROM orders WHERE status = $1"} {
		if err := pool.ExecText(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if found := bare(explain(t, pool, "bad('PAID')")); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}
