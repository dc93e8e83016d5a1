package sqldb

import (
	"slices"
	"strings"
	"testing"
)

func TestTheDialectIsWhatTheServerSaysOfItself(t *testing.T) {
	for version, want := range map[string]Dialect{
		"PostgreSQL 16.4 (Debian 16.4-1) on x86_64-pc-linux-gnu, compiled by gcc": Postgres,
		"CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu, built 2025/06/10)":         Cockroach,
	} {
		if got, err := dialectOf(version); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", version, got, err, want)
		}
	}
	for _, version := range []string{"", "MySQL 8.4", "EnterpriseDB on PostgreSQL 16", "postgresql 16"} {
		if got, err := dialectOf(version); err == nil {
			t.Errorf("%q was taken for %v", version, got)
		}
	}
}

func TestRenderKeepsOnlyTheDialectsParts(t *testing.T) {
	const text = `
SELECT a /*@CRDB , crdb_internal.b() @*/
FROM x
/*@PG FOR SHARE @*/
/*@LOCALITY REGIONAL BY ROW AS region@*/ /* an ordinary comment */`
	for d, want := range map[Dialect]string{
		Postgres:  "SELECT a \nFROM x\nFOR SHARE\n /* an ordinary comment */",
		Cockroach: "SELECT a , crdb_internal.b()\nFROM x\n\nLOCALITY REGIONAL BY ROW AS region /* an ordinary comment */",
	} {
		if got := Render(d, text); got != want {
			t.Errorf("%v: got\n%q\nwant\n%q", d, got, want)
		}
	}
}

func TestAMarkedPartMaySpanLines(t *testing.T) {
	const text = "BEGIN /*@PG one\ntwo @*/ END /*@CRDB three\nfour @*/"
	if got, want := Render(Postgres, text), "BEGIN one\ntwo END"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Render(Cockroach, text), "BEGIN  END three\nfour"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUnknownMarkIsAProgrammingError(t *testing.T) {
	defer func() {
		if p, ok := recover().(string); !ok || !strings.Contains(p, "MYSQL") {
			t.Errorf("got %v, want a panic that names the mark", p)
		}
	}()
	Render(Postgres, "SELECT 1 /*@MYSQL x @*/")
}

func TestTwoStatementsOfOneNameAreAProgrammingError(t *testing.T) {
	first := Define(Global, "sqldb_test.twin", "SELECT 1")
	defer func() {
		if p, ok := recover().(string); !ok || !strings.Contains(p, "sqldb_test.twin") {
			t.Errorf("got %v, want a panic that names the statement", p)
		}
		i := slices.IndexFunc(Statements(), func(s *Statement) bool { return s.Name() == "sqldb_test.twin" })
		if i < 0 || Statements()[i] != first {
			t.Error("the first statement must stay declared")
		}
	}()
	Define(Customer, "sqldb_test.twin", "SELECT 2")
}

func TestStatementsAreListedByNameWithBothTexts(t *testing.T) {
	Define(Regional, "sqldb_test.list_b", "SELECT 2 /*@CRDB c @*/")
	Define(Regional, "sqldb_test.list_a", "SELECT 1")
	all := Statements()
	if !slices.IsSortedFunc(all, func(a, b *Statement) int { return strings.Compare(a.Name(), b.Name()) }) {
		t.Error("the list is not in order")
	}
	i := slices.IndexFunc(all, func(s *Statement) bool { return s.Name() == "sqldb_test.list_b" })
	if i < 0 {
		t.Fatal("a declared statement is not in the list")
	}
	s := all[i]
	if s.Database() != Regional || s.Text(Postgres) != "SELECT 2" || s.Text(Cockroach) != "SELECT 2 c" {
		t.Errorf("got %v %q %q", s.Database(), s.Text(Postgres), s.Text(Cockroach))
	}
}
