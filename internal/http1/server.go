package http1

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// preface begins a connection of HTTP/2; three bytes of it tell it from every method.
	preface = "PRI"
	// acceptPause lets descriptors come free when there are none.
	acceptPause = 10 * time.Millisecond
)

// Server takes connections of HTTP/1.1, and hands those of HTTP/2, which it tells by their preface, to another.
type Server struct {
	deps   ServerDeps
	fresh  chan net.Conn // of HTTP/2
	closed chan struct{}

	mu      sync.Mutex
	done    bool
	ln      net.Listener
	clients map[*Client]struct{}
	left    sync.WaitGroup // of clients
}

// ServerDeps of a Server.
type ServerDeps struct {
	// Handle a client: call its Next, and answer, until that is false.
	Handle func(*Client)
	// Two takes connections of HTTP/2.
	Two *http.Server
	// MaxClients connected at once; more are closed unheard.
	MaxClients int
	Log        *slog.Logger
}

// NewServer that serves from Serve on.
func NewServer(deps ServerDeps) *Server {
	return &Server{deps: deps, fresh: make(chan net.Conn), closed: make(chan struct{}), clients: map[*Client]struct{}{}}
}

// Serve connections of a listener until Shutdown or Close; then http.ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.ln = ln
	if s.done {
		_ = ln.Close() // it was told to end before it had begun
	}
	s.mu.Unlock()
	go func() { _ = s.deps.Two.Serve(&handOver{s, ln.Addr()}) }() // it ends with this one, and for no other reason
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			s.take(conn)
		case s.ended():
			return http.ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, say: it will pass
			s.deps.Log.Warn("a connection could not be taken", "error", err)
			time.Sleep(acceptPause)
		}
	}
}

func (s *Server) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *Server) take(conn net.Conn) {
	c := NewClient(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || len(s.clients) >= s.deps.MaxClients {
		_ = conn.Close() // unheard: there is no room even for a refusal
		return
	}
	s.clients[c] = struct{}{}
	s.left.Go(func() {
		s.deps.Handle(c)
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
		if c.two {
			select {
			case s.fresh <- &begun{conn, c.in.Bytes()}:
				return
			case <-s.closed:
			}
		}
		_ = conn.Close() // whatever there was to say has been said
	})
}

// Shutdown takes nobody new, lets requests under way finish, and ends when all have, or with ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop((*Client).leave)
	err := s.deps.Two.Shutdown(ctx)
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
	s.stop(func(c *Client) { _ = c.conn.Close() }) // whoever is still there has had his time
	return s.deps.Two.Close()
}

func (s *Server) stop(each func(*Client)) {
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
		each(c)
	}
}

// handOver is the listener of the server of HTTP/2.
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
