// Package sqldbtest gives each test a database of its own on a real PostgreSQL.
//
// The server is the one that CELLAR_TEST_DATABASE_URL names (the program in shared/ runs one
// for a whole `go test ./...`), or a private one per test program. Databases are copied from
// a migrated template, which takes some tens of milliseconds. Sessions run with
// enable_seqscan=off, so that a statement without a usable index stands out in its plan.
package sqldbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/db"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/pgserver"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// EnvURL names a server for tests.
const EnvURL = "CELLAR_TEST_DATABASE_URL"

var server struct {
	once    sync.Once
	url     string
	err     error
	private *pgserver.Server
	dir     string
	mu      sync.Mutex
	ready   map[sqldb.Database]bool // templates known to exist
}

// Main runs a package's tests and stops the private server, if one was started.
func Main(m *testing.M) {
	code := m.Run()
	if server.private != nil {
		if err := server.private.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		_ = os.RemoveAll(server.dir) // it is in the system's folder for such things
	}
	os.Exit(code)
}

// StartPrivate runs a throw-away server in a new temporary directory.
func StartPrivate(ctx context.Context) (s *pgserver.Server, dir string, err error) {
	if dir, err = os.MkdirTemp("", "cellar-test-pg-"); err != nil {
		return nil, "", err
	}
	// The server may run as another user, who must be able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil { // the data directory below keeps its own 0700
		return nil, "", err
	}
	if s, err = pgserver.Start(ctx, pgserver.Config{Dir: dir + "/data", Unsafe: true}); err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return s, dir, nil
}

func serverURL(ctx context.Context) (string, error) {
	server.once.Do(func() {
		server.ready = map[sqldb.Database]bool{}
		if server.url = os.Getenv(EnvURL); server.url != "" {
			return
		}
		if server.private, server.dir, server.err = StartPrivate(context.WithoutCancel(ctx)); server.err == nil {
			server.url = server.private.URL()
		}
	})
	return server.url, server.err
}

// Option of New.
type Option func(*sqldb.Config)

// WithFaults injects faults into the database's transactions.
func WithFaults(f sqldb.Faults) Option { return func(c *sqldb.Config) { c.Faults = f } }

// WithMaxConns sets the size of the pool.
func WithMaxConns(n int) Option { return func(c *sqldb.Config) { c.MaxConns = n } }

// WithObserver is told what goes to the server.
func WithObserver(o sqldb.Observer) Option { return func(c *sqldb.Config) { c.Observe = o } }

// New is a fresh, migrated database of a kind; it is dropped when the test ends.
func New(t testing.TB, database sqldb.Database, options ...Option) *sqldb.DB {
	t.Helper()
	pool, _ := NewWithURL(t, database, options...)
	return pool
}

// NewWithURL is New for tests that open more pools on the same database.
func NewWithURL(t testing.TB, database sqldb.Database, options ...Option) (pool *sqldb.DB, url string) {
	t.Helper()
	ctx := context.Background()
	base, err := serverURL(ctx)
	if err != nil {
		t.Fatalf("a PostgreSQL for tests: %v", err)
	}
	admin := open(t, sqldb.Config{URL: base, Database: sqldb.Any, KeepDatabase: true, MaxConns: 2})
	defer admin.Close()
	template := ensureTemplate(t, base, admin, database)
	name := "t_" + strings.ToLower(rand.Text()[:12])
	exec(t, admin, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)+copying(t, admin))
	url = strings.Replace(base, "/postgres?", "/"+name+"?", 1)
	cfg := sqldb.Config{URL: url, Database: database, KeepDatabase: true, RuntimeParams: map[string]string{"enable_seqscan": "off", "jit": "off"}}
	for _, o := range options {
		o(&cfg)
	}
	pool = open(t, cfg)
	t.Cleanup(func() {
		pool.Close()
		admin := open(t, sqldb.Config{URL: base, Database: sqldb.Any, KeepDatabase: true, MaxConns: 2})
		defer admin.Close()
		exec(t, admin, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name))
	})
	return pool, url
}

// copying says how a template is best copied. From PostgreSQL 15 on the default goes through the log, for the sake of databases
// that are large or must survive; these are neither, and copying files takes about half the time.
func copying(t testing.TB, admin *sqldb.DB) string {
	t.Helper()
	if exists(t, admin, "SELECT 1 WHERE current_setting('server_version_num')::INT8 >= $1", 150_000) {
		return " STRATEGY file_copy"
	}
	return ""
}

// Reporter is what Texts needs of a test, or of a property under test.
type Reporter interface {
	Helper()
	Fatal(args ...any)
}

// Texts of the one column of a query's rows.
func Texts(t Reporter, db *sqldb.DB, query string, args ...any) (all []string) {
	t.Helper()
	rows, err := db.QueryText(context.Background(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Reopen opens another pool on a database made by NewWithURL.
func Reopen(t testing.TB, database sqldb.Database, url string, options ...Option) *sqldb.DB {
	t.Helper()
	cfg := sqldb.Config{URL: url, Database: database, KeepDatabase: true}
	for _, o := range options {
		o(&cfg)
	}
	pool := open(t, cfg)
	t.Cleanup(pool.Close)
	return pool
}

// ensureTemplate makes the migrated template of a database once a server and schema. Test programs share a server, so
// an advisory lock of PostgreSQL (this is never CockroachDB) keeps them from making it twice.
func ensureTemplate(t testing.TB, base string, admin *sqldb.DB, database sqldb.Database) string {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	template := templateName(t, database)
	if server.ready[database] {
		return template
	}
	locked := open(t, sqldb.Config{URL: base, Database: sqldb.Any, KeepDatabase: true, MaxConns: 1})
	defer locked.Close()
	exec(t, locked, "SELECT pg_advisory_lock(4096)")
	if !exists(t, admin, "SELECT 1 FROM pg_database WHERE datname = $1", template) {
		building := template + "_new"
		exec(t, admin, "DROP DATABASE IF EXISTS "+building+" WITH (FORCE)")
		exec(t, admin, "CREATE DATABASE "+building)
		migrate(t, strings.Replace(base, "/postgres?", "/"+building+"?", 1), database)
		exec(t, admin, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", building, template))
	}
	server.ready[database] = true
	return template
}

func migrate(t testing.TB, url string, database sqldb.Database) {
	t.Helper()
	pool := open(t, sqldb.Config{URL: url, Database: database, KeepDatabase: true, MaxConns: 2})
	defer pool.Close()
	m := db.Migrator{DB: pool, Clock: clock.System{}, Holder: "test", Regions: ident.Regions()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// templateName changes with the schema, so that a server kept by hand never serves an old one.
func templateName(t testing.TB, database sqldb.Database) string {
	t.Helper()
	steps, err := db.Steps(database)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, s := range steps {
		_, _ = fmt.Fprintln(h, s.Name, s.Text) // a hash takes everything
	}
	return "tpl_" + strings.TrimPrefix(string(database), "cellar_") + "_" + hex.EncodeToString(h.Sum(nil)[:6])
}

func exists(t testing.TB, admin *sqldb.DB, query string, arg any) bool {
	t.Helper()
	rows, err := admin.QueryText(context.Background(), query, arg)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	return rows.Next()
}

func open(t testing.TB, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	pool, err := sqldb.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func exec(t testing.TB, pool *sqldb.DB, text string) {
	t.Helper()
	if err := pool.ExecText(context.Background(), text); err != nil {
		t.Fatal(err)
	}
}
