// Package lease lets one process at a time do a piece of work, by a row as lock.
//
// Advisory locks look right on CockroachDB and do nothing there, so a row with an expiry it
// is, judged by the database's clock alone: no two machines need to agree on the time. A
// holder renews at a third of the lease's time; one that cannot is told to stop, by the end of
// its context, before anybody else may begin. Work under a lease must nevertheless be
// harmless when done twice, since a process can be frozen between a check and an effect.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	// Who finds that another holds it only reads: those who wait ask every second, and must neither lock the row nor write.
	stmtTake = sqldb.Define(sqldb.Any, "lease.take", `
INSERT INTO leases (region, name, holder, until)
SELECT $1::crdb_internal_region, $2, $3, now() + $4::interval
WHERE NOT EXISTS (
  SELECT 1
  FROM leases
  WHERE region = $1 AND name = $2 AND holder <> $3 AND until >= now()
)
ON CONFLICT (region, name) DO UPDATE
SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until < now()`)

	stmtHolder = sqldb.Define(sqldb.Any, "lease.holder", `
SELECT holder
FROM leases
WHERE region = $1 AND name = $2 AND until >= now()`)

	stmtDrop = sqldb.Define(sqldb.Any, "lease.drop", `
DELETE FROM leases
WHERE region = $1 AND name = $2 AND holder = $3`)
)

// DefaultTTL is how long a dead holder's work waits for another.
const DefaultTTL = 3 * time.Second

// Deps of a Keeper.
type Deps struct {
	DB     *sqldb.DB
	Region ident.Region
	// Holder names this process; unique among those that compete.
	Holder string
	// TTL of a lease; 0 means DefaultTTL.
	TTL   time.Duration
	Clock clock.Clock
	Log   *slog.Logger
}

// Keeper takes and keeps leases of one region in one database.
type Keeper struct{ deps Deps }

// New keeper.
func New(deps Deps) *Keeper {
	if deps.TTL == 0 {
		deps.TTL = DefaultTTL
	}
	return &Keeper{deps: deps}
}

// Take or renew a lease; false when somebody else holds it.
func (k *Keeper) Take(ctx context.Context, name string) (bool, error) {
	n, err := k.deps.DB.Exec(ctx, stmtTake, string(k.deps.Region), name, k.deps.Holder, k.deps.TTL)
	if err != nil {
		return false, fmt.Errorf("take lease %s: %w", name, err)
	}
	return n == 1, nil
}

// Holder of a lease now; empty when nobody holds it.
func (k *Keeper) Holder(ctx context.Context, name string) (holder string, err error) {
	err = k.deps.DB.QueryRow(ctx, stmtHolder, string(k.deps.Region), name).Scan(&holder)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("holder of lease %s: %w", name, err)
	}
	return holder, nil
}

// Drop a lease, so that another holder need not wait for its end.
func (k *Keeper) Drop(ctx context.Context, name string) error {
	if _, err := k.deps.DB.Exec(ctx, stmtDrop, string(k.deps.Region), name, k.deps.Holder); err != nil {
		return fmt.Errorf("drop lease %s: %w", name, err)
	}
	return nil
}

// Run work whenever this process holds the lease, until ctx ends. The work's context ends as soon as the lease may be
// lost; work that returns by itself is started again.
func (k *Keeper) Run(ctx context.Context, name string, work func(ctx context.Context)) {
	for ctx.Err() == nil {
		held, err := k.Take(ctx, name)
		if err != nil && ctx.Err() == nil {
			k.deps.Log.WarnContext(ctx, "a lease could not be taken", "lease", name, "error", err)
		}
		if held {
			k.hold(ctx, name, work)
			continue
		}
		if k.deps.Clock.Sleep(ctx, k.deps.TTL/3) != nil {
			return
		}
	}
}

// hold the lease while the work runs.
func (k *Keeper) hold(ctx context.Context, name string, work func(ctx context.Context)) {
	working, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(working)
	}()
	defer func() {
		stop()
		<-done
		dropping, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.deps.TTL)
		defer cancel()
		_ = k.Drop(dropping, name) // it ends by itself
	}()
	for k.deps.Clock.Sleep(working, k.deps.TTL/3) == nil {
		select {
		case <-done:
			return
		default:
		}
		renewing, cancel := context.WithTimeout(working, k.deps.TTL/3)
		held, err := k.Take(renewing, name)
		cancel()
		if err != nil || !held {
			return
		}
	}
}
