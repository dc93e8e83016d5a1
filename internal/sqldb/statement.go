package sqldb

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Database is one of the logical databases of a cluster. The survival goal is per database, hence three.
type Database string

// The logical databases.
const (
	// Global is read everywhere and written seldom: products, fulfilment centres, directory.
	Global Database = "cellar_global"
	// Customer holds rows homed by the customer's ring.
	Customer Database = "cellar_customer"
	// Regional holds rows homed by the fulfilment centre's region.
	Regional Database = "cellar_regional"
	// Any marks statements that run in several databases, such as the outbox's.
	Any Database = "any"
)

// Databases lists the three logical databases.
func Databases() []Database { return []Database{Global, Customer, Regional} }

// Dialect of SQL, found from what the server says of itself.
type Dialect int

// The dialects.
const (
	Postgres Dialect = iota
	Cockroach
)

// String is the product's name.
func (d Dialect) String() string {
	if d == Cockroach {
		return "CockroachDB"
	}
	return "PostgreSQL"
}

// Statement is one SQL statement with a name for metrics and errors.
type Statement struct {
	name     string
	database Database
	text     [2]string // by Dialect
}

var registry struct {
	sync.Mutex
	byName map[string]*Statement
}

// Define declares a statement. The name is "<owner>.<what it does>"; two of one name are a programming error.
func Define(database Database, name, text string) *Statement {
	s := &Statement{name: name, database: database}
	for _, d := range []Dialect{Postgres, Cockroach} {
		s.text[d] = Render(d, text)
	}
	registry.Lock()
	defer registry.Unlock()
	if registry.byName == nil {
		registry.byName = map[string]*Statement{}
	}
	if _, taken := registry.byName[name]; taken {
		panic("sqldb: two statements are named " + name)
	}
	registry.byName[name] = s
	return s
}

// Name of the statement.
func (s *Statement) Name() string { return s.name }

// Database the statement runs in.
func (s *Statement) Database() Database { return s.database }

// Text of the statement in a dialect.
func (s *Statement) Text(d Dialect) string { return s.text[d] }

// Statements lists all that were declared in this program, by name.
func Statements() []*Statement {
	registry.Lock()
	defer registry.Unlock()
	all := make([]*Statement, 0, len(registry.byName))
	for _, s := range registry.byName {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Statement) int { return strings.Compare(a.name, b.name) })
	return all
}

var marked = regexp.MustCompile(`(?s)/\*@(\w+)\s(.*?)@\*/`)

// Render a text that has marked parts, see the package comment. An unknown mark is a programming error.
func Render(d Dialect, text string) string {
	out := marked.ReplaceAllStringFunc(text, func(part string) string {
		m := marked.FindStringSubmatch(part)
		mark, body := m[1], strings.TrimSpace(m[2])
		switch {
		case mark == "CRDB" && d == Cockroach, mark == "PG" && d == Postgres:
			return body
		case mark == "LOCALITY" && d == Cockroach:
			return "LOCALITY " + body
		case mark == "CRDB", mark == "PG", mark == "LOCALITY":
			return ""
		default:
			panic(fmt.Sprintf("sqldb: unknown mark %q", mark))
		}
	})
	return strings.TrimSpace(out)
}
