package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/process"
)

const (
	// maxClients connected at once: twice the requests that may be under way, since browsers keep connections.
	maxClients = 2 * maxInFlight
	// preface begins a connection of HTTP/2; three bytes of it tell it from every method.
	preface = "PRI"
)

// Server takes connections for a Router, of HTTP/1.1 and, by its preface, of HTTP/2.
type Server struct {
	router *Router
	two    *http.Server
	fresh  chan net.Conn // of HTTP/2
	closed chan struct{}

	mu      sync.Mutex
	done    bool
	ln      net.Listener
	clients map[*client]struct{}
	left    sync.WaitGroup // of clients
}

// NewServer for a router.
func NewServer(r *Router) *Server {
	s := &Server{router: r, two: process.NewServer(r), fresh: make(chan net.Conn), closed: make(chan struct{}), clients: map[*client]struct{}{}}
	s.two.ErrorLog = nil
	return s
}

// Serve connections of a listener until Shutdown or Close; then http.ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.ln = ln
	if s.done {
		_ = ln.Close() // it was told to end before it had begun
	}
	s.mu.Unlock()
	go func() { _ = s.two.Serve(&handOver{s, ln.Addr()}) }() // it ends with this one, and for no other reason
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			s.take(conn)
		case s.ended():
			return http.ErrServerClosed
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, say: it will pass
			s.router.deps.Log.Warn("a connection could not be taken", "error", err)
			_ = machine.Sleep(context.Background(), waitStep) // it cannot fail
		}
	}
}

func (s *Server) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *Server) take(conn net.Conn) {
	c := newClient(s.router, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || len(s.clients) >= maxClients {
		_ = conn.Close() // unheard: there is no room even for a refusal
		return
	}
	s.clients[c] = struct{}{}
	s.left.Go(func() {
		handed := c.serve(s.fresh, s.closed)
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
		if !handed {
			_ = conn.Close() // whatever there was to say has been said
		}
	})
}

// Shutdown takes nobody new, lets requests under way finish, and ends when all have, or with ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop(func(c *client) {
		if c.state.CompareAndSwap(idle, gone) {
			_ = c.conn.Close() // it hears that from its next read
		}
	})
	err := s.two.Shutdown(ctx)
	all := make(chan struct{})
	go func() { s.left.Wait(); close(all) }()
	select {
	case <-all:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close everything at once.
func (s *Server) Close() error {
	s.stop(func(c *client) { _ = c.conn.Close() }) // whoever is still there has had his time
	return s.two.Close()
}

func (s *Server) stop(each func(*client)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		close(s.closed)
		if s.ln != nil {
			_ = s.ln.Close() // Accept says so
		}
	}
	for c := range s.clients {
		c.leaving.Store(true)
		each(c)
	}
}

// handOver is the listener of the part that speaks HTTP/2.
type handOver struct {
	server *Server
	addr   net.Addr
}

// Accept implements net.Listener.
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case conn := <-h.server.fresh:
		return conn, nil
	case <-h.server.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handOver) Close() error { return nil }

// Addr implements net.Listener.
func (h *handOver) Addr() net.Addr { return h.addr }

// begun is a connection of which some bytes were read.
type begun struct {
	net.Conn
	read []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

// speaksTwo tells whether a connection that begins so is of HTTP/2; maybe as long as too little is there.
func speaksTwo(b []byte) (two, maybe bool) {
	n := min(len(b), len(preface))
	same := string(b[:n]) == preface[:n]
	return same && n == len(preface), same && n < len(preface)
}

// Limits of our patience with clients.
const (
	// idleTimeout is longer than clients of ours keep an idle connection, so that it is they who close. It is renewed when
	// half of it is over, to save a system call for each request; and what an answer may wait for its client to read on.
	idleTimeout = 120 * time.Second
	// headTimeout drops clients that begin a request and do not go on; bodyTimeout is for a mebibyte by a bad line.
	headTimeout = 5 * time.Second
	bodyTimeout = 20 * time.Second
	// lingering reads what a refused client still sends, so that it hears why before its connection is reset.
	lingering    = time.Second
	maxLingering = 4 << 20
)
