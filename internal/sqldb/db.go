package sqldb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config of one logical database's pool.
type Config struct {
	// URL of the cluster (postgres://…); its database part is replaced by Database unless KeepDatabase is set.
	URL string
	// Database to use.
	Database Database
	// KeepDatabase uses the database the URL names; tests do.
	KeepDatabase bool
	// MaxConns of the pool; 0 means DefaultMaxConns.
	MaxConns int
	// ApplicationName shows in the server's session list.
	ApplicationName string
	// Observe is told of retries and traffic; may be nil.
	Observe Observer
	// Faults are injected into transactions by tests; nil in production.
	Faults Faults
	// PointPlans pins the plans of sessions on PostgreSQL to index look-ups in loops: right for a service, all of whose
	// statements touch few rows by key, also while its tables are new and the planner knows nothing of them.
	PointPlans bool
	// RuntimeParams are set on each session, for example enable_seqscan=off in tests.
	RuntimeParams map[string]string
}

// DefaultMaxConns is small on purpose: with short transactions, more connections than cores only add contention.
const DefaultMaxConns = 8

// Observer is told what the pool goes through.
type Observer interface {
	// TxRetried: a transaction of that database is run again because of that SQLSTATE.
	TxRetried(database Database, sqlState string)
	// Sent in one round trip: that many statements, begin and commit among them.
	Sent(database Database, statements int)
}

type noObserver struct{}

func (noObserver) TxRetried(Database, string) {}
func (noObserver) Sent(Database, int)         {}

// DB is a pool of connections to one logical database.
type DB struct {
	pool     *pgxpool.Pool
	dialect  Dialect
	database Database
	observe  Observer
	faults   Faults
}

// Open connects, and learns the dialect from the server.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		// The parser's text may show the password.
		return nil, fmt.Errorf("sqldb: open %s: the database URL is malformed", cfg.Database)
	}
	if !cfg.KeepDatabase {
		pc.ConnConfig.Database = string(cfg.Database)
	}
	pc.MaxConns = int32(max(cfg.MaxConns, 0))
	if pc.MaxConns == 0 {
		pc.MaxConns = DefaultMaxConns
	}
	pc.MaxConnLifetime = 30 * time.Minute
	pc.MaxConnLifetimeJitter = 5 * time.Minute
	pc.ConnConfig.ConnectTimeout = 5 * time.Second
	pc.ConnConfig.RuntimeParams["application_name"] = cfg.ApplicationName
	for k, v := range cfg.RuntimeParams {
		pc.ConnConfig.RuntimeParams[k] = v
	}
	if cfg.Observe != nil {
		pc.ConnConfig.Tracer = traffic{cfg.Database, cfg.Observe}
	}
	if cfg.PointPlans {
		pc.AfterConnect = pinPlans
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("sqldb: open %s: %w", cfg.Database, err)
	}
	db := &DB{pool: pool, database: cfg.Database, observe: cfg.Observe, faults: cfg.Faults}
	if db.observe == nil {
		db.observe = noObserver{}
	}
	var version string
	if err := pool.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		pool.Close()
		return nil, fmt.Errorf("sqldb: open %s: %w", cfg.Database, classify(err))
	}
	if db.dialect, err = dialectOf(version); err != nil {
		pool.Close()
		return nil, err
	}
	return db, nil
}

// pinPlans of a new session. A plan that is made while a table is empty reads all of it, and is kept while the table grows. Pages
// are in memory, or on a disk that has no arm to move: one by a key costs little more than the next in a row. And a plan for any
// arguments is kept: to plan anew for each costs more than most statements do.
func pinPlans(ctx context.Context, conn *pgx.Conn) error {
	if conn.PgConn().ParameterStatus("crdb_version") != "" {
		return nil
	}
	_, err := conn.Exec(ctx, "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET random_page_cost = 1.1; SET plan_cache_mode = force_generic_plan; SET jit = off", pgx.QueryExecModeSimpleProtocol)
	return err
}

// dialectOf reads the answer of SELECT version().
func dialectOf(version string) (Dialect, error) {
	switch {
	case strings.HasPrefix(version, "CockroachDB"):
		return Cockroach, nil
	case strings.HasPrefix(version, "PostgreSQL"):
		return Postgres, nil
	default:
		return 0, fmt.Errorf("sqldb: neither CockroachDB nor PostgreSQL: %.40q", version)
	}
}

// Close the pool; waits for connections in use.
func (db *DB) Close() { db.pool.Close() }

// Dialect of the server.
func (db *DB) Dialect() Dialect { return db.dialect }

// Database that this pool is for.
func (db *DB) Database() Database { return db.database }

// Ping asks the server for a sign of life.
func (db *DB) Ping(ctx context.Context) error { return classify(db.pool.Ping(ctx)) }

// Exec runs one statement as a transaction of its own and tells how many rows it touched.
func (db *DB) Exec(ctx context.Context, s *Statement, args ...any) (int64, error) {
	tag, err := db.pool.Exec(ctx, s.text[db.dialect], args...)
	return tag.RowsAffected(), wrap(s, err)
}

// Query runs a statement that answers rows. Close them.
func (db *DB) Query(ctx context.Context, s *Statement, args ...any) (Rows, error) {
	rows, err := db.pool.Query(ctx, s.text[db.dialect], args...)
	return rows, wrap(s, err)
}

// QueryRow runs a statement that answers one row; Scan gives ErrNoRows for none.
func (db *DB) QueryRow(ctx context.Context, s *Statement, args ...any) Row {
	return row{db.pool.QueryRow(ctx, s.text[db.dialect], args...), s}
}

// ExecText runs text that is no declared Statement. Only the migrator and the local platform's bootstrap need it.
func (db *DB) ExecText(ctx context.Context, text string) error {
	// The simple protocol: DDL gains nothing from being prepared.
	_, err := db.pool.Exec(ctx, Render(db.dialect, text), pgx.QueryExecModeSimpleProtocol)
	return classify(err)
}

// QueryText is ExecText for rows.
func (db *DB) QueryText(ctx context.Context, text string, args ...any) (Rows, error) {
	rows, err := db.pool.Query(ctx, Render(db.dialect, text), args...)
	return rows, classify(err)
}
