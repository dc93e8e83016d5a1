package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cellar-commerce/cellar/internal/settings"
)

const (
	// readHeaderTimeout drops clients that open connections and say nothing.
	readHeaderTimeout = 5 * time.Second
	// idleTimeout is longer than any client of ours keeps an idle connection, so that it is the client who closes.
	idleTimeout = 120 * time.Second
	// finishTimeout bounds how long running requests may take at the end: the longest deadline of a method.
	finishTimeout = 30 * time.Second
	// maxHeader bytes of a request.
	maxHeader = 64 << 10
)

// Main turns the result of run into an exit code, and a signal into the end of its context.
func Main(run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, settings.ErrPrinted) {
		slog.Error("the program ends", "error", err)
		os.Exit(1) //nolint:gocritic // exitAfterDefer: nothing but the signal handler is left to stop
	}
}

// Server takes a listener's connections. Serve gives http.ErrServerClosed after Shutdown or Close.
type Server interface {
	Serve(ln net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

var _ Server = (*http.Server)(nil)

// Listener of a program: a handler behind NewServer, or a server of its own.
type Listener struct {
	Name    string
	Address string
	Handler http.Handler
	Server  Server // instead of Handler
}

// Worker runs until its context ends.
type Worker struct {
	Name string
	Run  func(ctx context.Context) error
}

// Group is what a program runs.
type Group struct {
	Log *slog.Logger
	// Public and admin listeners; the last in the list stays up longest.
	Listeners []Listener
	Workers   []Worker
	// SetReady is told when traffic may come, and when no more may.
	SetReady func(bool)
	// Drain is how long after "not ready" requests are still taken.
	Drain time.Duration
	// Finish runs after the requests and before the workers stop; may be nil.
	Finish func()
}

// Run until ctx ends or a part fails.
func (g Group) Run(ctx context.Context) error {
	failed := make(chan error, len(g.Listeners)+len(g.Workers))
	servers, err := g.listen(ctx, failed)
	if err != nil {
		return err
	}
	workers, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	var wg sync.WaitGroup
	for _, w := range g.Workers {
		wg.Go(func() {
			if err := w.Run(workers); err != nil && workers.Err() == nil {
				failed <- fmt.Errorf("worker %s: %w", w.Name, err)
			}
		})
	}
	g.SetReady(true)
	g.Log.Info("ready")
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	g.SetReady(false)
	if err == nil {
		g.Log.Info("draining", "for", g.Drain.String())
		time.Sleep(g.Drain)
	}
	shutdown(servers)
	if g.Finish != nil {
		g.Finish()
	}
	stopWorkers()
	wg.Wait()
	return err
}

func (g Group) listen(ctx context.Context, failed chan<- error) ([]Server, error) {
	var servers []Server
	for _, l := range g.Listeners {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
		if err != nil {
			shutdown(servers)
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		s := l.Server
		if s == nil {
			s = NewServer(l.Handler)
		}
		servers = append(servers, s)
		go func() {
			if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("listener %s: %w", l.Name, err)
			}
		}()
		g.Log.Info("listening", "listener", l.Name, "address", ln.Addr().String())
	}
	return servers, nil
}

// NewServer speaks HTTP/1.1 and unencrypted HTTP/2, which gRPC clients need, with the platform's limits.
func NewServer(h http.Handler) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

func shutdown(servers []Server) {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			_ = s.Close() // whoever is still connected has had finishTimeout
		}
	}
}
