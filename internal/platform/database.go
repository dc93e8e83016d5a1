package platform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/db"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/pgserver"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// openDatabase starts the SQL server, or takes the one that is named.
func (p *Platform) openDatabase(ctx context.Context) (database, error) {
	switch {
	case p.cfg.DatabaseURL != "":
		return foreignDatabase{p.cfg.DatabaseURL}, nil
	case p.cfg.Cockroach:
		return p.startCockroach(ctx)
	default:
		return p.startPostgres(ctx)
	}
}

// foreignDatabase is somebody else's server.
type foreignDatabase struct{ url string }

func (f foreignDatabase) URL() string    { return f.url }
func (foreignDatabase) Stop() error      { return nil }
func (foreignDatabase) Status() []Status { return nil }

// postgres is the private server of this platform.
type postgres struct {
	*pgserver.Server
	log *os.File
}

const (
	// statisticsEvery is how often PostgreSQL looks for tables that have grown. Of a table without statistics it believes that
	// one row in two hundred is in a given region, where it is one in three: plans that read a whole region look cheaper than
	// those that look up keys, and are until there are some thousand orders. A new platform has those before the usual minute
	// is over.
	statisticsEvery = "2s"
	// statisticsAgain is how much of a table has to change, of what it had, until it is looked at again: with the usual tenth
	// tables that grow by orders are looked at in every round, which costs a twentieth of all that the orders do, and every
	// time makes all sessions plan anew.
	statisticsAgain = "1"
	// statisticsSample is 300 rows for each: regions and customers are told apart by a tenth of what is usual.
	statisticsSample = "10"
)

// settings of the local server, besides those of pgserver.
var settings = map[string]string{
	"autovacuum_naptime": statisticsEvery, "autovacuum_analyze_scale_factor": statisticsAgain, "default_statistics_target": statisticsSample,
	"log_min_messages": loggedFrom,
}

// loggedFrom this severity on, by PostgreSQL: not the errors of statements, which whoever sent them is told. Guards refuse by them
// all the time (sqldb.GuardFailed), and each would be a line and a statement in the log.
const loggedFrom = "log"

func (p *Platform) startPostgres(ctx context.Context) (database, error) {
	dir, err := serverDir(p.path("postgres"))
	if err != nil {
		return nil, err
	}
	if dir != p.path("postgres") {
		aside, err := claim(filepath.Dir(dir), p.path("postgres.id"))
		if err != nil {
			return nil, err
		}
		if aside != "" {
			p.say("the data of a platform that was here before, and whose directory is gone, lie in %s", aside)
		}
	}
	log, err := os.OpenFile(p.path("logs", "database.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start database: %w", err)
	}
	server, err := pgserver.Start(ctx, pgserver.Config{Dir: dir, Port: p.layout.Database, Log: log, Settings: settings})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &postgres{server, log}, nil
}

// Stop implements database.
func (d *postgres) Stop() error { return errors.Join(d.Server.Stop(), d.log.Close()) }

// Status implements database.
func (d *postgres) Status() []Status {
	running := true
	select {
	case <-d.Done():
		running = false
	default:
	}
	return []Status{{Name: "database", PID: d.PID(), Running: running, Ready: running, Log: d.log.Name()}}
}

// serverDir is where the server's data can lie. PostgreSQL refuses to run as root and then runs as another user, who must
// be able to reach its directory: below a home that is closed to others it cannot, and its data goes to a system folder.
func serverDir(wanted string) (string, error) {
	if os.Geteuid() != 0 || reachable(filepath.Dir(wanted)) {
		return wanted, nil
	}
	sum := sha256.Sum256([]byte(wanted))
	dir := filepath.Join("/var/lib/cellar", hex.EncodeToString(sum[:6]))
	//nolint:gosec // the database's own user has to pass; its data directory below is closed to others
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("the database's user cannot reach %s, and no other place could be made for it: %w", wanted, err)
	}
	return filepath.Join(dir, "postgres"), nil
}

// claim a folder outside the platform's directory for its data. What lies there already may be of a platform that was in the same
// place and was deleted, with all its keys: nobody can use that, and it is set aside. Which platform it is, a token says, in a file
// of its directory and in one of the folder.
func claim(folder, idFile string) (aside string, err error) {
	id, err := os.ReadFile(idFile)
	if errors.Is(err, fs.ErrNotExist) {
		id = []byte(ident.NewToken())
		err = os.WriteFile(idFile, id, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("claim a place for the database: %w", err)
	}
	mark := filepath.Join(folder, "platform.id")
	owner, err := os.ReadFile(mark)
	if err == nil && string(owner) == string(id) {
		return "", nil
	}
	if err == nil {
		aside = folder + "-" + string(owner)
		//nolint:gosec // as serverDir makes it
		err = errors.Join(os.Rename(folder, aside), os.Mkdir(folder, 0o755))
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil { // else what lies there would be taken for ours the next time
		err = os.WriteFile(mark, id, 0o600) //nolint:gosec // the path is the platform's own
	}
	if err != nil {
		return "", fmt.Errorf("claim a place for the database: %w", err)
	}
	return aside, nil
}

// reachable tells whether every folder on the way is open to everybody.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// prepareDatabase makes the databases and their schema.
func (p *Platform) prepareDatabase(ctx context.Context) error {
	url := p.database.URL()
	server, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Any, KeepDatabase: true, MaxConns: 1, ApplicationName: "cellctl up"})
	if err != nil {
		return err
	}
	err = db.Create(ctx, server)
	server.Close()
	if err != nil {
		return err
	}
	g, migrating := errgroup.WithContext(ctx)
	for _, database := range sqldb.Databases() {
		g.Go(func() error { return migrate(migrating, url, database) })
	}
	return g.Wait()
}

func migrate(ctx context.Context, url string, database sqldb.Database) error {
	pool, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: database, MaxConns: 2, ApplicationName: "cellctl up"})
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = db.Migrator{DB: pool, Clock: clock.System{}, Holder: fmt.Sprintf("cellctl/%d", os.Getpid()), Regions: ident.Regions()}.Run(ctx)
	return err
}

func (l Layout) topologyCells() []topology.Cell {
	var all []topology.Cell
	for _, c := range l.Cells {
		all = append(all, topology.Cell{ID: c.ID, Region: c.Region, State: topology.Active, Weight: 100, Public: c.Public, Internal: c.Internal, Admin: c.Admin})
	}
	return all
}
