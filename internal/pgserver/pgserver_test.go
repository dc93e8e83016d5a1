package pgserver_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/pgserver"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func open(t *testing.T, s *pgserver.Server) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: s.URL(), Database: sqldb.Any, KeepDatabase: true, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t *testing.T, db *sqldb.DB, text string) {
	t.Helper()
	if err := db.ExecText(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, s *pgserver.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	<-s.Done()
}

// start a server on a directory; it is stopped when the test ends.
func start(t *testing.T, cfg pgserver.Config) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func TestAServerKeepsItsDataOverARestart(t *testing.T) {
	first, dir, err := sqldbtest.StartPrivate(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, first); _ = os.RemoveAll(dir) })
	db := open(t, first)
	exec(t, db, "CREATE TABLE kept (n int8); INSERT INTO kept VALUES (42)")
	if second, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir + "/data", Unsafe: true}); err == nil {
		t.Errorf("a second server runs on the same directory: %d", second.PID())
		stop(t, second)
	} else if !strings.Contains(err.Error(), "lock file") {
		t.Errorf("the error does not give the server's words: %v", err)
	}
	db.Close()
	stop(t, first)
	if err := first.Stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
	again := start(t, pgserver.Config{Dir: dir + "/data", Unsafe: true, Port: first.Port(), Settings: map[string]string{"work_mem": "5MB"}})
	if again.Port() != first.Port() {
		t.Errorf("it listens on %d, not %d", again.Port(), first.Port())
	}
	db = open(t, again)
	defer db.Close()
	exec(t, db, "DO $$ BEGIN ASSERT (SELECT n FROM kept) = 42 AND current_setting('work_mem') = '5MB'; END $$")
}

func TestAServerThatEndsByItselfSaysSo(t *testing.T) {
	s, dir, err := sqldbtest.StartPrivate(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s); _ = os.RemoveAll(dir) })
	p, err := os.FindProcess(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
}

func TestADirectoryOfSomethingElseIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "photo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir})
	if err == nil {
		stop(t, s)
		t.Fatal("a server runs there")
	}
	if _, err := os.Stat(filepath.Join(dir, "photo")); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}

func TestAPortThatIsTakenIsSaid(t *testing.T) {
	s, dir, err := sqldbtest.StartPrivate(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	stop(t, s)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	other, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir + "/data", Unsafe: true, Port: port})
	if err == nil {
		stop(t, other)
		t.Fatal("it claims to listen on a port that is taken")
	}
	if !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error does not give the server's words: %v", err)
	}
}
