package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotInstalled: no PostgreSQL server programs of version 15 or newer were found.
var ErrNotInstalled = errors.New("no PostgreSQL server (15 or newer) found: run `make setup`, or install the package " +
	"postgresql (Debian, Ubuntu) or postgresql@15 (Homebrew), or name another database by CELLAR_DATABASE_URL")

// Config of a private server.
type Config struct {
	// Dir holds the data; made when missing. Its parents must be reachable for the server's user.
	Dir string
	// Port on loopback; 0 picks a free one.
	Port int
	// Settings override postgresql.conf, for example {"max_connections": "300"}.
	Settings map[string]string
	// Unsafe turns durability off: for tests, which never outlive their server.
	Unsafe bool
	// Log gets the server's own output; nil discards it.
	Log *os.File
}

// Server is a running private server.
type Server struct {
	cmd    *exec.Cmd
	port   int
	output *tail
	done   chan struct{}
	err    error
}

// startTimeout bounds the wait for a server to accept connections; recovery after a crash takes a few seconds.
const startTimeout = 60 * time.Second

// Start makes the data directory when it is missing, runs the server and waits until it takes connections.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	owner, err := serverUser()
	if err != nil {
		return nil, err
	}
	if err := initialise(ctx, bin, cfg, owner); err != nil {
		return nil, err
	}
	port := cfg.Port
	if port == 0 {
		if port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	s := &Server{port: port, done: make(chan struct{})}
	//nolint:noctx // the server outlives the start; Stop ends it
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), arguments(cfg, port)...)
	s.output = &tail{}
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if cfg.Log != nil {
		both := io.MultiWriter(cfg.Log, s.output)
		s.cmd.Stdout, s.cmd.Stderr = both, both
	}
	s.cmd.SysProcAttr = childAttributes(owner)
	s.cmd.Dir = cfg.Dir
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("pgserver: start: %w", err)
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func arguments(cfg Config, port int) []string {
	args := []string{"-D", cfg.Dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "logging_collector=off", "-c", "max_connections=400", "-c", "shared_buffers=256MB"}
	if cfg.Unsafe {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	for k, v := range cfg.Settings {
		args = append(args, "-c", k+"="+v)
	}
	return args
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if answersPostgres(ctx, s.port) {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("pgserver: the server ended while it started: %w: %s", s.err, s.output)
		case <-ctx.Done():
			return fmt.Errorf("pgserver: the server does not take connections on port %d: %w", s.port, ctx.Err())
		case <-tick.C:
		}
	}
}

// URL of the server for its superuser, without a database.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://cellar@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Port it listens on.
func (s *Server) Port() int { return s.port }

// PID of the server's first process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server: sessions are cut, data is safe.
func (s *Server) Stop() error {
	select {
	case <-s.done:
		return nil
	default:
	}
	// SIGINT is PostgreSQL's fast shutdown.
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("pgserver: stop: %w", err)
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(30 * time.Second):
		slog.Warn("the database server does not stop; killing it", "pid", s.PID())
		return s.cmd.Process.Signal(syscall.SIGQUIT)
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("pgserver: find a free port: %w", err)
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(errors.New("pgserver: find a free port: no TCP address"), l.Close())
	}
	return address.Port, l.Close()
}

// tail keeps the last bytes of the server's output, to say why it ended.
type tail struct {
	mu   sync.Mutex
	last []byte
}

// tailBytes holds a dozen lines.
const tailBytes = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
