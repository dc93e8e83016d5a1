package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cellar-commerce/cellar/db"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/pgserver"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// StartPlatform of the programs in binDir, with a small catalogue, in a directory of its own, dir; for who rehearses faults on
// one that nobody else uses. Stop ends it and removes the directory; call it also when there is an error.
func StartPlatform(ctx context.Context, binDir string, portOffset int) (dir string, stop func() error, err error) {
	return private{binDir: binDir, portOffset: portOffset, products: evacuateProducts, seed: evacuateSeed}.start(ctx)
}

// private platform of a bench.
type private struct {
	binDir     string
	portOffset int
	products   int
	seed       uint64
	// pagesOf a region are made before anybody looks at them; empty for none.
	pagesOf ident.Region
}

// start it in a new directory, dir. The function stops it and removes the directory, whatever became of it.
func (p private) start(ctx context.Context) (dir string, stop func() error, err error) {
	parent, remove, err := scratch()
	if err != nil {
		return "", func() error { return nil }, err
	}
	dir = filepath.Join(parent, "platform")
	running, err := platform.Start(ctx, platform.Config{Dir: dir, BinDir: p.binDir, PortOffset: p.portOffset, Fill: p.fill})
	if err != nil {
		return dir, remove, err
	}
	serving, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	stop = func() error {
		hangUp()
		return errors.Join(running.Stop(), remove())
	}
	return dir, stop, running.ServeControl(serving, func() {})
}

func (p private) fill(ctx context.Context, url string) error {
	if err := opening.Fill(ctx, url, p.products, p.seed); err != nil || p.pagesOf == "" {
		return err
	}
	_, err := opening.Pages(ctx, url, p.pagesOf)
	return err
}

// ownServer is a database server in a directory of its own, dir. The function stops it and removes the directory.
func ownServer(ctx context.Context) (dir, url string, stop func() error, err error) {
	dir, remove, err := scratch()
	if err != nil {
		return "", "", nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return "", "", nil, errors.Join(err, remove())
	}
	return dir, server.URL(), func() error { return errors.Join(server.Stop(), remove()) }, nil
}

// schemas of databases on a server that has none of them yet.
func schemas(ctx context.Context, url string, databases ...sqldb.Database) error {
	admin, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Any, KeepDatabase: true, MaxConns: 1})
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := db.Create(ctx, admin); err != nil {
		return err
	}
	for _, database := range databases {
		if err := schema(ctx, url, database); err != nil {
			return err
		}
	}
	return nil
}

func schema(ctx context.Context, url string, database sqldb.Database) error {
	pool, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: database, MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = db.Migrator{DB: pool, Clock: clock.System{}, Holder: "bench", Regions: ident.Regions()}.Run(ctx)
	return err
}

// scratch is a new directory, and what removes it with all that is in it.
func scratch() (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", "cellar-bench-"); err != nil {
		return "", nil, fmt.Errorf("bench: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the database's own user has to pass; its data is closed to others
		return "", nil, errors.Join(fmt.Errorf("bench: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
