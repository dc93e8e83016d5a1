package router

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/process"
)

const (
	// maxClients connected at once: twice the requests that may be under way, since browsers keep connections.
	maxClients = 2 * maxInFlight
	// inOneWrite with the head goes a body of at most this many bytes: copying it costs less than another system call.
	inOneWrite = 16 << 10
	// wrongCell is redirectHeader as http1 compares it.
	wrongCell = "cellar-wrong-cell"
)

// NewServer takes connections for a router, of both versions of HTTP.
func NewServer(r *Router) *http1.Server {
	return http1.NewServer(http1.ServerDeps{
		Handle: func(c *http1.Client) {
			s := &shopper{Client: c, router: r}
			for c.Next() {
				s.exchange()
			}
		},
		Two: process.NewServer(r), MaxClients: maxClients, Log: r.deps.Log,
	})
}

// shopper is a connection of HTTP/1.1, and the carrier of its requests, one at a time.
type shopper struct {
	*http1.Client
	router *Router
	trip   trip
	id     []byte // of the request
}

var _ carrier = (*shopper)(nil)

// exchange a request for an answer.
func (s *shopper) exchange() {
	r := s.router
	if r.draining.Load() {
		s.Keep = false
	}
	if path := s.path(); path == "/livez" || path == "/readyz" {
		s.Keep = s.Keep && s.Length == 0 // nobody reads a body here
		status, body := r.own(path)
		s.say(status, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body)
		return
	}
	start := r.deps.Clock.Now()
	cell, result := s.forward(start)
	r.ended(cell, result, start)
}

func (s *shopper) say(status int, header http.Header, body []byte) {
	if s.Write(status, header, body) != nil {
		s.Keep = false
	}
}

func (s *shopper) path() string {
	path, _ := s.address()
	return path
}

func (s *shopper) address() (path, query string) {
	path, query, _ = strings.Cut(view(s.Target), "?")
	return path, query
}

// forward a request, and tell which cell had it last and how it ended.
func (s *shopper) forward(start time.Time) (cell, result string) {
	r := s.router
	defer r.leave()
	if !r.admit() {
		s.Keep = false // its body was not read
		return "", s.refuse(errOverloaded)
	}
	held := s.Needs()
	defer r.bodies.Add(-held)
	if p := s.read(held); p != nil {
		s.Keep = false
		return "", s.refuse(p)
	}
	t := &s.trip
	*t = newTrip(r, s, start)
	streams := s.describe(t)
	y, p := t.run()
	if p != nil {
		s.Unwatch()
		return t.cell, s.refuse(p)
	}
	passing := http1.Passing{Without: wrongCell, Until: t.until, Patience: watchAfter}
	if streams && t.timeout == 0 {
		passing.Until = time.Time{}
	}
	x := (*http1.Conn)(y.attempt.(*lean)) //nolint:forcetypeassert,errcheck // send makes no other
	err := s.Pass(x, passing)
	y.node.inFlight.Add(-1)
	s.Unwatch()
	if err != nil {
		x.Close()
		if !errors.Is(err, http1.ErrGone) {
			r.deps.Log.Warn("an answer was cut short", "cell", t.cell, "error", err)
		}
		return t.cell, Cut
	}
	y.node.pool.Put(x, t.sent)
	return t.cell, t.result()
}

// read the body, within the limits.
func (s *shopper) read(held int64) *problem.Problem {
	if s.Length > maxBody {
		return errBodyTooLong
	}
	if s.router.bodies.Add(held) > maxBodies && held > 0 {
		return errOverloaded
	}
	return unreadable(s.ReadBody(maxBody))
}

// refuse a request in its own protocol, and give the reason back.
func (s *shopper) refuse(p *problem.Problem) string {
	in, err := http.NewRequestWithContext(context.Background(), string(s.Method), string(s.Target), nil)
	if err != nil { // no method or path of ours
		in = &http.Request{Method: http.MethodPost}
	}
	for _, f := range s.Fields {
		in.Header.Add(string(f.Name), string(f.Value))
	}
	w := recorder{header: http.Header{}, status: http.StatusOK}
	s.router.refuse(&w, in, p)
	s.say(w.status, w.header, w.body)
	return p.Reason
}

// recorder of an answer of the router's own.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

var _ http.ResponseWriter = (*recorder)(nil)

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// describe the request to the trip, and tell whether its answer may never end.
func (s *shopper) describe(t *trip) (streams bool) {
	var timeout []byte
	path, query := s.address()
	keyed := false
	s.id = s.id[:0]
	for i := range s.Fields {
		switch f := &s.Fields[i]; {
		case f.Is("content-type"):
			streams = streams || mayStream(view(f.Value))
		case f.Is("accept"):
			streams = streams || acceptsStream(view(f.Value))
		case f.Is("connect-timeout-ms"):
			timeout = f.Value
		case f.Is("idempotency-key"):
			keyed = true
		case f.Is("x-request-id"):
			if len(s.id) == 0 && validRequestID(view(f.Value)) {
				s.id = append(s.id, f.Value...)
			}
		}
	}
	if len(s.id) == 0 {
		s.id = appendRequestID(s.id)
	}
	t.customer, t.owned = customerIn(s.Fields)
	t.repeat = s.router.repeat(view(s.Method), path)
	t.keyed = t.repeat.keyed(keyed, query)
	t.size = len(s.Body)
	t.timeout, t.asked = timeoutOf(view(timeout), streams)
	t.until = t.sent.Add(firstWord(t.timeout))
	return streams
}

// appendRequest as the cell gets it: its head, and its body if that is short.
func (s *shopper) appendRequest(out []byte, left time.Duration) []byte {
	out = append(append(append(append(out, s.Method...), ' '), s.Target...), " HTTP/1.1\r\nHost: "...)
	out = append(append(out, s.Host...), "\r\n"...)
	for i := range s.Fields {
		if f := &s.Fields[i]; !f.Hop && !rewritten(f) && (left == 0 || !f.Is("connect-timeout-ms")) {
			out = http1.AppendField(out, f.Name, f.Value)
		}
	}
	if s.Peer != "" {
		out = append(append(append(out, "X-Forwarded-For: "...), s.Peer...), "\r\n"...)
	}
	out = append(append(append(out, "X-Forwarded-Proto: http\r\nX-Forwarded-Host: "...), s.Host...), "\r\n"...)
	out = append(append(append(out, requestID+": "...), s.id...), "\r\n"...)
	if s.Trailers {
		out = append(out, "Te: trailers\r\n"...)
	}
	if left > 0 {
		out = append(strconv.AppendInt(append(out, timeoutHeader+": "...), left.Milliseconds(), 10), "\r\n"...)
	}
	if s.Sized {
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), int64(len(s.Body)), 10), "\r\n"...)
	}
	out = append(out, "\r\n"...)
	if len(s.Body) <= inOneWrite {
		out = append(out, s.Body...)
	}
	return out
}

// rewritten fields are the router's own to say, or are between parts of the platform.
func rewritten(f *http1.Field) bool {
	switch len(f.Name) {
	case 9:
		return f.Is("forwarded") || f.Is("x-real-ip")
	case 11:
		return f.Is("cellar-peer")
	case 12:
		return f.Is("x-request-id")
	case 15:
		return f.Is("x-forwarded-for")
	case 16:
		return f.Is("x-forwarded-host")
	case 17:
		return f.Is("x-forwarded-proto") || f.Is(wrongCell)
	default:
		return false
	}
}

// lean is an attempt over HTTP/1.1.
type lean http1.Conn

var _ attempt = (*lean)(nil)

func (l *lean) await(ctx context.Context, until time.Time) error {
	return (*http1.Conn)(l).Await(ctx, until)
}

func (l *lean) redirect() (redirect, bool) {
	for i := range l.Reply.Fields {
		if f := &l.Reply.Fields[i]; f.Is(wrongCell) {
			return parseRedirect(string(f.Value))
		}
	}
	return redirect{}, false
}

func (l *lean) drop() {
	(*http1.Conn)(l).Interrupt()
	(*http1.Conn)(l).Close()
}

// watch implements carrier.
func (s *shopper) watch() context.Context { return s.Watch() }

// send implements carrier.
func (s *shopper) send(to member, left time.Duration) (attempt, error) {
	s.Out = s.appendRequest(s.Out[:0], left)
	for {
		x := to.node.pool.Get(to.cell.Public, s.trip.sent)
		if x == nil {
			var err error
			if x, err = http1.Dial(context.Background(), &dialer, to.cell.Public); err != nil {
				return nil, err
			}
		}
		x.HeadOnly = string(s.Method) == http.MethodHead
		n, err := x.Conn.Write(s.Out)
		if err == nil && len(s.Body) > inOneWrite {
			_ = x.Conn.SetWriteDeadline(s.trip.until) // what does not fit into the kernel's memory waits for the cell
			_, err = x.Conn.Write(s.Body)
			_ = x.Conn.SetWriteDeadline(time.Time{})
		}
		if err == nil {
			return (*lean)(x), nil
		}
		x.Close()
		if n == 0 && x.Reused {
			continue // it ended just now: there are others, and fresh ones
		}
		if n == 0 {
			return nil, errUnsent
		}
		return nil, err
	}
}
