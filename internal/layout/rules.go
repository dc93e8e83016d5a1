package layout

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Rule of the tree.
type Rule struct {
	Name string
	// Mend says what to do about it.
	Mend string
	// Check gives a sentence for each place where the rule is broken.
	Check func(*Tree) []string
}

// Rules of the tree.
func Rules() []Rule {
	return []Rule{
		{"files and functions are short", "split by what changes together", budgets},
		{"one package imports a technology", "call that package, or declare a small interface and let it implement that", technologies},
		{"who may know whom", "declare an interface where it is needed, and hand the implementation in", borders},
		{"every package says what it is", "write a doc.go of 5 to 60 lines: what the package owns and promises", docs},
		{"packages are named for what they hold", "name it by the agent or the thing", packageNames},
		{"SQL lives in store.go", "move the statement there, as a sqldb.Define", sqlPlaces},
		{"every table has one owner", "let one service's statements write it, and others ask that service", tableOwners},
		{"time is injected", "take a clock.Clock; in tests use clock.Manual and wait on a state", clocks},
		{"no test skips or sleeps", "make what it needs, or wait on a channel", testHabits},
		{"one word for one thing", "name the service's folder, proto package and service alike", words},
		{"services have the same files", "put types and rules in <name>.go, use cases in service.go, messages in rpc.go, SQL in store.go", serviceFiles},
	}
}

// Budgets in lines.
const (
	maxMain     = 80
	maxFile     = 500
	maxFunc     = 70
	maxTestFunc = 120
)

func budgets(t *Tree) (broken []string) {
	for _, f := range t.Go {
		if f.Generated() {
			continue
		}
		limit := maxFile
		if f.AST.Name.Name == "main" && path.Base(f.Path) == "main.go" && strings.HasPrefix(f.Path, "cmd/") {
			limit = maxMain
		}
		if f.Lines > limit {
			broken = append(broken, fmt.Sprintf("%s has %d lines, at most %d", f.Path, f.Lines, limit))
		}
		funcLimit := maxFunc
		if f.Test() || strings.HasSuffix(f.Dir(), "test") {
			funcLimit = maxTestFunc
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := f.Set.Position(fn.End()).Line - f.Set.Position(fn.Pos()).Line + 1; n > funcLimit {
				broken = append(broken, fmt.Sprintf("%s: %s has %d lines, at most %d", f.at(fn), fn.Name.Name, n, funcLimit))
			}
		}
	}
	return broken
}

// technology and who may import it.
type technology struct {
	prefix  string
	holders []string
}

var owned = []technology{
	{"github.com/jackc/pgx", []string{"internal/sqldb"}},
	{"github.com/cockroachdb/", []string{"internal/sqldb"}},
	{"database/sql", nil}, // pgx is used directly
	{"github.com/nats-io/nats.go", []string{"internal/bus"}},
	{"github.com/nats-io/nkeys", []string{"internal/bus"}},
	{"github.com/nats-io/jwt", []string{"internal/bus"}},
	{"github.com/nats-io/nats-server", []string{"internal/bus/bustest"}},
	{"github.com/blevesearch/", []string{"services/search"}},
	{"github.com/maypok86/otter", []string{"internal/cache"}},
	{"github.com/sony/gobreaker", []string{"internal/breaker", "router"}}, // regions' breakers, and cells'
	{"github.com/prometheus/", []string{"internal/telemetry"}},
	{"github.com/stripe/", []string{"internal/stripe"}},
	{"github.com/hashicorp/consul", []string{"cells/topology"}},
	{"github.com/wneessen/go-mail", []string{"internal/mail"}},
	{"github.com/go-webauthn/", []string{"internal/passkey"}},
	{"github.com/emersion/go-smtp", []string{"internal/sandbox"}},
	{"github.com/spf13/cobra", []string{"internal/cellctl"}},
	{"golang.org/x/crypto", []string{"services/account"}},
	{"net/http/httputil", []string{"internal/bench"}}, // the peer that is measured, not what is used
}

func technologies(t *Tree) (broken []string) {
	for _, f := range t.Go {
		for _, imported := range f.Imports() {
			for _, tech := range owned {
				if !strings.HasPrefix(imported, tech.prefix) || slices.ContainsFunc(tech.holders, f.In) {
					continue
				}
				broken = append(broken, fmt.Sprintf("%s imports %s, which belongs to %v", f.Path, imported, tech.holders))
			}
		}
	}
	return broken
}

// border: files below from may not import what begins with to.
type border struct{ from, to, why string }

var walls = []border{
	{"services", "cells", "services know nothing of cells"},
	{"services", "router", "services know nothing of the router"},
	{"services", "internal/platform", "services know nothing of where they run"},
	{"router", "services", "the router knows nothing of shopping"},
	{"router", "internal/sqldb", "the router asks no database"},
	{"router", "internal/bus", "the router sends no events"},
	{"cells/topology", "services", "the map knows nothing of shopping"},
	{"db", "services", "the schema knows no code that uses it"},
	{"internal/rpc", "services", "what all services share knows none of them"},
}

// assemblers below internal/ may know services: they put them together, or fill them.
var assemblers = []string{"internal/opening", "internal/cellctl", "internal/platform", "internal/bench", "internal/stockroom"}

func borders(t *Tree) (broken []string) {
	for _, f := range t.Go {
		for _, imported := range f.Imports() {
			own, ok := strings.CutPrefix(imported, module)
			if !ok {
				continue
			}
			for _, w := range walls {
				outside := f.Test() && strings.HasSuffix(f.AST.Name.Name, "_test") // an external test may compare the two
				if f.In(w.from) && (own == w.to || strings.HasPrefix(own, w.to+"/")) && !outside {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s", f.Path, own, w.why))
				}
			}
			broken = append(broken, foreignService(f, own)...)
		}
	}
	return broken
}

// foreignService finds a service that imports another, and shared code that imports any.
func foreignService(f *GoFile, own string) []string {
	rest, isService := strings.CutPrefix(own, "services/")
	if !isService {
		return nil
	}
	other, _, _ := strings.Cut(rest, "/")
	if from, ok := strings.CutPrefix(f.Path, "services/"); ok {
		if name, _, _ := strings.Cut(from, "/"); name != other {
			return []string{fmt.Sprintf("%s imports the service %s: they meet through their generated interfaces", f.Path, other)}
		}
	}
	if f.In("internal") && !slices.ContainsFunc(assemblers, f.In) {
		return []string{fmt.Sprintf("%s imports the service %s: shared code knows no service", f.Path, other)}
	}
	return nil
}

func docs(t *Tree) (broken []string) {
	type doc struct {
		lines, files int
	}
	packages := map[string]*doc{}
	for _, f := range t.Go {
		if f.Generated() || f.Test() {
			continue
		}
		d := packages[f.Dir()]
		if d == nil {
			d = &doc{}
			packages[f.Dir()] = d
		}
		d.files++
		if f.AST.Doc != nil {
			d.lines += f.Set.Position(f.AST.Doc.End()).Line - f.Set.Position(f.AST.Doc.Pos()).Line + 1
		}
	}
	for dir, d := range packages {
		least := 5
		if d.files == 1 || strings.HasPrefix(dir, "cmd/") {
			least = 1 // one small file says what it is in its first lines
		}
		if d.lines < least || d.lines > 60 {
			broken = append(broken, fmt.Sprintf("%s has %d lines of package comment, not %d to 60", dir, d.lines, least))
		}
	}
	slices.Sort(broken)
	return broken
}

var banned = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "types", "misc", "base", "shared_code"}

func packageNames(t *Tree) (broken []string) {
	for _, f := range t.Go {
		name := strings.TrimSuffix(f.AST.Name.Name, "_test")
		if slices.Contains(banned, name) || strings.HasSuffix(name, "util") {
			broken = append(broken, fmt.Sprintf("%s is in a package named %s", f.Path, name))
		}
	}
	return broken
}

// statement recognises SQL at the beginning of a string.
var statement = regexp.MustCompile(`(?s)^\s*(SELECT\s+.*\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s.*\bSET\b|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\()`)

// sqlHolders keep SQL of their own, outside of services.
var sqlHolders = []string{"internal/sqldb", "cells/controlplane", "cells/evacuation", "internal/outbox", "internal/inbox", "internal/lease", "internal/notice", "internal/saga", "internal/fence", "internal/audit", "internal/bench", "db"}

func sqlPlaces(t *Tree) (broken []string) {
	for _, f := range t.Go {
		if f.Generated() || f.Test() || slices.ContainsFunc(sqlHolders, f.In) || (f.In("services") && path.Base(f.Path) == "store.go") {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && len(lit.Value) > 2 && statement.MatchString(strings.Trim(lit.Value, "`\"")) {
				broken = append(broken, f.at(lit)+" has SQL")
			}
			return true
		})
	}
	return broken
}

var (
	createTable = regexp.MustCompile(`CREATE TABLE IF NOT EXISTS (\w+)`)
	writesTable = regexp.MustCompile(`(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)`)
)

// tableOwners: what writes a table, the tests and the audit aside, is one package.
func tableOwners(t *Tree) (broken []string) {
	tables := map[string]bool{}
	for name, content := range t.Other {
		if strings.HasPrefix(name, "db/schema/") {
			for _, m := range createTable.FindAllStringSubmatch(content, -1) {
				tables[m[1]] = true
			}
		}
	}
	writers := map[string]map[string]bool{}
	for _, f := range t.Go {
		if f.Test() || f.Generated() || f.In("internal/bench") { // a bench writes its own database, as its peer would
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			for _, m := range writesTable.FindAllStringSubmatch(lit.Value, -1) {
				if tables[m[1]] {
					if writers[m[1]] == nil {
						writers[m[1]] = map[string]bool{}
					}
					writers[m[1]][f.Dir()] = true
				}
			}
			return true
		})
	}
	for table := range tables {
		if len(writers[table]) != 1 {
			broken = append(broken, fmt.Sprintf("the table %s is written by %v", table, keys(writers[table])))
		}
	}
	slices.Sort(broken)
	return broken
}

func keys(m map[string]bool) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
