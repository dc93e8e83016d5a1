package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// leaseTime is how long a migrator that died keeps the others waiting. One step never takes as long: big changes
	// of data are not migrations.
	leaseTime = time.Minute
	// leasePoll is how often a waiting migrator looks.
	leasePoll = 100 * time.Millisecond
)

const createProgress = `
CREATE TABLE IF NOT EXISTS schema_migrations (
  number int4 NOT NULL, -- of the step; 0 is the lease
  name text NOT NULL, -- of the step, or who holds the lease
  at timestamptz NOT NULL, -- when it was applied, or until when the lease holds
  CONSTRAINT schema_migrations_pk PRIMARY KEY (number)
)`

var (
	stmtTakeLease = sqldb.Define(sqldb.Any, "migrate.take_lease", `
INSERT INTO schema_migrations (number, name, at)
VALUES (0, $1, now() + $2::interval)
ON CONFLICT (number) DO UPDATE SET name = excluded.name, at = excluded.at
WHERE schema_migrations.name = excluded.name OR schema_migrations.at < now()`)
	stmtDropLease = sqldb.Define(sqldb.Any, "migrate.drop_lease", `
DELETE FROM schema_migrations
WHERE number = 0 AND name = $1`)
	stmtApplied = sqldb.Define(sqldb.Any, "migrate.applied", `
SELECT number
FROM schema_migrations
WHERE number > 0
ORDER BY number`)
	stmtRecord = sqldb.Define(sqldb.Any, "migrate.record", `
INSERT INTO schema_migrations (number, name, at)
VALUES ($1, $2, now())
ON CONFLICT (number) DO NOTHING`)
)

// Migrator brings one logical database to the current schema.
type Migrator struct {
	DB    *sqldb.DB
	Clock clock.Clock
	// Holder names this run, for the lease.
	Holder string
	// Regions of the platform, primary first.
	Regions []ident.Region
}

// Run applies the steps that are missing and tells how many those were. Safe to run from several programs at once.
func (m Migrator) Run(ctx context.Context) (applied int, err error) {
	if err := m.prepare(ctx); err != nil {
		return 0, err
	}
	if err := m.takeLease(ctx); err != nil {
		return 0, err
	}
	defer func() {
		_, dropErr := m.DB.Exec(context.WithoutCancel(ctx), stmtDropLease, m.Holder)
		err = errors.Join(err, dropErr)
	}()
	steps, err := Steps(m.DB.Database())
	if err != nil {
		return 0, err
	}
	done, err := sqldb.Collect(ctx, m.DB, stmtApplied, func(r sqldb.Row) (n int, err error) { err = r.Scan(&n); return n, err })
	if err != nil {
		return 0, fmt.Errorf("db: migrate %s: %w", m.DB.Database(), err)
	}
	for _, s := range steps {
		if slices.Contains(done, s.Number) {
			continue
		}
		if err := m.apply(ctx, s); err != nil {
			return applied, err
		}
		applied++
	}
	return applied, nil
}

// apply a step and record it. Two statements, because DDL commits by itself on CockroachDB: a crash in between runs
// the step again, which its idempotence allows.
func (m Migrator) apply(ctx context.Context, s Step) error {
	if err := m.takeLease(ctx); err != nil { // renews it
		return err
	}
	if err := m.DB.ExecText(ctx, s.Text); err != nil {
		return fmt.Errorf("db: migrate %s: step %s: %w", m.DB.Database(), s.Name, err)
	}
	if _, err := m.DB.Exec(ctx, stmtRecord, s.Number, s.Name); err != nil {
		return fmt.Errorf("db: migrate %s: record step %s: %w", m.DB.Database(), s.Name, err)
	}
	return nil
}

func (m Migrator) takeLease(ctx context.Context) error {
	for {
		n, err := m.DB.Exec(ctx, stmtTakeLease, m.Holder, leaseTime)
		if err != nil {
			return fmt.Errorf("db: migrate %s: take the lease: %w", m.DB.Database(), err)
		}
		if n == 1 {
			return nil
		}
		if err := m.Clock.Sleep(ctx, leasePoll); err != nil {
			return fmt.Errorf("db: migrate %s: wait for another migrator: %w", m.DB.Database(), err)
		}
	}
}

// prepare makes what the first step needs: the regions, the region type, the table of progress. Two programs that
// prepare at once may collide in the server's catalogue; the loser finds everything there the second time.
func (m Migrator) prepare(ctx context.Context) error {
	var err error
	for range 5 {
		if err = m.prepareOnce(ctx); err == nil {
			return nil
		}
		if sleepErr := m.Clock.Sleep(ctx, leasePoll); sleepErr != nil {
			break
		}
	}
	return fmt.Errorf("db: prepare %s: %w", m.DB.Database(), err)
}

func (m Migrator) prepareOnce(ctx context.Context) error {
	for _, text := range RegionStatements(m.DB.Dialect(), m.DB.Database(), m.Regions) {
		if err := m.DB.ExecText(ctx, text); err != nil {
			return err
		}
	}
	return m.DB.ExecText(ctx, createProgress)
}

// RegionStatements make the regions known to a database. On CockroachDB that is multi-region DDL, which creates the
// type crdb_internal_region itself; on PostgreSQL an enum of the same name stands in.
func RegionStatements(d sqldb.Dialect, database sqldb.Database, regions []ident.Region) []string {
	if d == sqldb.Cockroach {
		return cockroachRegions(database, regions)
	}
	quoted := make([]string, len(regions))
	for i, r := range regions {
		quoted[i] = "'" + string(r) + "'"
	}
	statements := []string{fmt.Sprintf(`DO $$ BEGIN
  CREATE TYPE crdb_internal_region AS ENUM (%s);
EXCEPTION WHEN duplicate_object THEN NULL;
END $$`, strings.Join(quoted, ", "))}
	for _, q := range quoted {
		statements = append(statements, "ALTER TYPE crdb_internal_region ADD VALUE IF NOT EXISTS "+q)
	}
	return statements
}

func cockroachRegions(database sqldb.Database, regions []ident.Region) []string {
	statements := []string{fmt.Sprintf("ALTER DATABASE %s SET PRIMARY REGION %q", database, regions[0])}
	for _, r := range regions[1:] {
		statements = append(statements, fmt.Sprintf("ALTER DATABASE %s ADD REGION IF NOT EXISTS %q", database, r))
	}
	goal := "REGION"
	if database == sqldb.Regional {
		goal = "ZONE" // a decrement must not wait for another region
	}
	return append(statements, fmt.Sprintf("ALTER DATABASE %s SURVIVE %s FAILURE", database, goal))
}

// Create makes the three logical databases on a server, as far as they are missing.
func Create(ctx context.Context, server *sqldb.DB) error {
	for _, database := range sqldb.Databases() {
		rows, err := server.QueryText(ctx, "SELECT 1 FROM pg_database WHERE datname = $1", string(database))
		if err != nil {
			return fmt.Errorf("db: look for %s: %w", database, err)
		}
		exists := rows.Next()
		rows.Close()
		if exists {
			continue
		}
		if err := server.ExecText(ctx, "CREATE DATABASE "+string(database)); err != nil {
			return fmt.Errorf("db: create %s: %w", database, err)
		}
	}
	return nil
}
