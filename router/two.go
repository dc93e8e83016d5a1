package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxResponseHeader bytes: as many as a request may have.
	maxResponseHeader = 64 << 10
	// copyBuffer is what an answer is passed on in.
	copyBuffer = 32 << 10
)

// upstreamTwo are the connections to cells of HTTP/2, which gRPC needs.
type upstreamTwo struct{ *http.Transport }

func newUpstreamTwo() upstreamTwo {
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // what the cell sends is passed on as it is
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return upstreamTwo{t}
}

func (u upstreamTwo) close() { u.CloseIdleConnections() }

// stream is a request of HTTP/2, and its carrier.
type stream struct {
	router *Router
	in     *http.Request
	header http.Header
	body   []byte
	grpc   bool // its errors are in the trailers
	trip   trip
}

var _ carrier = (*stream)(nil)

// ServeHTTP implements http.Handler, for requests of HTTP/2.
func (r *Router) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	if in.URL.Path == "/livez" || in.URL.Path == "/readyz" {
		status, body := r.own(in.URL.Path)
		w.WriteHeader(status)
		_, _ = w.Write(body) // the caller may have gone
		return
	}
	if r.draining.Load() {
		w.Header().Set("Connection", "close") // net/http tells clients of HTTP/2 in their way
	}
	start := r.deps.Clock.Now()
	cell, result := r.serve(w, in, start)
	r.ended(cell, result, start)
	if result == Cut {
		// The status is out already: breaking the connection is the only way to say that this is not all.
		panic(http.ErrAbortHandler)
	}
}

// serve a request of HTTP/2, and tell which cell had it last and how it ended.
func (r *Router) serve(w http.ResponseWriter, in *http.Request, start time.Time) (cell, result string) {
	defer r.leave()
	if !r.admit() {
		return "", r.refuse(w, in, errOverloaded)
	}
	s := &stream{router: r, in: in}
	held, p := s.read()
	defer r.bodies.Add(-held)
	if p != nil {
		return "", r.refuse(w, in, p)
	}
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	streams := s.describe(start, ctx)
	t := &s.trip
	y, p := t.run()
	if p != nil {
		return t.cell, r.refuse(w, in, p)
	}
	defer y.node.inFlight.Add(-1)
	a := y.attempt.(*roundTrip) //nolint:forcetypeassert,errcheck // send makes no other
	if err := a.pass(w, streams); err != nil {
		if in.Context().Err() == nil {
			r.deps.Log.Warn("an answer was cut short", "cell", t.cell, "error", err)
		}
		return t.cell, Cut
	}
	return t.cell, t.result()
}

// read a request whole, as those of HTTP/1.1 are. It tells how many bytes of memory it may take.
func (s *stream) read() (held int64, refusal *problem.Problem) {
	held = s.in.ContentLength
	if held > maxBody {
		return 0, errBodyTooLong // before a byte of it is taken
	}
	if held < 0 {
		held = maxBody
	}
	if s.router.bodies.Add(held) > maxBodies {
		return held, errOverloaded
	}
	body, err := io.ReadAll(io.LimitReader(s.in.Body, maxBody+1))
	if len(body) > maxBody {
		err = http1.ErrBodyTooLong
	}
	s.body = body
	return held, unreadable(err)
}

// describe the request to its trip, and tell whether its answer may never end.
func (s *stream) describe(start time.Time, ctx context.Context) (streams bool) { //nolint:revive // context-as-argument: it is the trip's
	h := s.in.Header
	contentType := h.Get("Content-Type")
	s.grpc = strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web")
	s.header = forwardedHeader(s.in)
	streams = mayStream(contentType) || acceptsStream(h.Get("Accept"))
	t := &s.trip
	*t = newTrip(s.router, s, start)
	t.ctx = ctx
	t.customer, t.owned = customerOf(h)
	t.repeat, t.size = s.router.repeat(s.in.Method, s.in.URL.Path), len(s.body)
	t.keyed = t.repeat.keyed(h.Get(keyHeader) != "", s.in.URL.RawQuery)
	if given := h.Get(grpcTimeout); given != "" && s.grpc {
		t.timeout, t.asked = grpcTimeoutOf(given)
	} else {
		t.timeout, t.asked = timeoutOf(h.Get(timeoutHeader), streams)
	}
	t.until = t.sent.Add(firstWord(t.timeout))
	return streams
}

// watch implements carrier: net/http does.
func (s *stream) watch() context.Context { return s.trip.ctx }

// roundTrip is an attempt over HTTP/2.
type roundTrip struct {
	cancel context.CancelFunc
	grpc   bool
	done   chan struct{}
	resp   *http.Response
	err    error
}

var _ attempt = (*roundTrip)(nil)

// send implements carrier.
func (s *stream) send(to member, left time.Duration) (attempt, error) {
	header := s.header
	if left > 0 {
		header = header.Clone() // another attempt may still be reading the old one
		if s.grpc {
			header.Set(grpcTimeout, strconv.FormatInt(left.Milliseconds(), 10)+"m")
		} else {
			header.Set(timeoutHeader, strconv.FormatInt(left.Milliseconds(), 10))
		}
	}
	in := s.in.URL
	out := &http.Request{
		Method: s.in.Method,
		URL:    &url.URL{Scheme: "http", Host: to.cell.Public, Path: in.Path, RawPath: in.RawPath, RawQuery: in.RawQuery, ForceQuery: in.ForceQuery},
		Header: header, Host: s.in.Host, ContentLength: int64(len(s.body)), Body: http.NoBody,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	if len(s.body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(s.body))
		// With it the transport itself sends again what a connection that had just been closed never took.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.body)), nil }
	}
	ctx, cancel := context.WithCancel(s.trip.ctx)
	if s.trip.timeout > 0 { // for the whole answer, not only its head
		ctx, cancel = context.WithDeadline(s.trip.ctx, s.trip.until)
	}
	a := &roundTrip{cancel: cancel, grpc: s.grpc && s.trip.owned, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.resp, a.err = s.router.two.RoundTrip(out.WithContext(ctx)) //nolint:bodyclose // pass or drop do
	}()
	return a, nil
}

func (a *roundTrip) await(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(until.Sub(machine.Now()))
	defer timer.Stop()
	select {
	case <-a.done:
		return a.err
	case <-timer.C:
		return http1.ErrPatience
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *roundTrip) redirect() (redirect, bool) { return redirectOf(a.resp, a.grpc) }

func (a *roundTrip) drop() {
	a.cancel()
	go func() { // it ends soon, and whoever drops it need not wait
		if <-a.done; a.err == nil {
			_ = a.resp.Body.Close()
		}
	}()
}

// pass the answer on as it comes.
func (a *roundTrip) pass(w http.ResponseWriter, streams bool) error {
	defer a.cancel()
	defer a.resp.Body.Close()
	h := w.Header()
	dropHop(a.resp.Header)
	for name, values := range a.resp.Header {
		h[name] = values
	}
	w.WriteHeader(a.resp.StatusCode)
	var flusher http.Flusher
	if streams || mayStream(a.resp.Header.Get("Content-Type")) {
		flusher, _ = w.(http.Flusher)
	}
	if err := pass(w, a.resp.Body, flusher); err != nil {
		return err
	}
	dropHop(a.resp.Trailer)
	for name, values := range a.resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	return nil
}

func pass(w io.Writer, body io.Reader, flusher http.Flusher) error {
	if flusher == nil {
		_, err := io.Copy(w, body)
		return err
	}
	flusher.Flush() // the headers: whoever waits for an event wants to know that it was heard
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			flusher.Flush()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// hopHeaders concern one connection only (RFC 9110, 7.6.1), or are between parts of the platform.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	redirectHeader, "Cellar-Peer",
}

// claims that a client makes of its own address are not believed.
var claims = []string{"Forwarded", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// replayHeaders make net/http's transport send a request again by itself after a connection has broken, whatever its
// method, and out of every budget. It does not see them in lower case; cells do.
var replayHeaders = []string{keyHeader, "X-Idempotency-Key"}

// forwardedHeader of a request: without what concerns the client's connection, with who it is from.
func forwardedHeader(in *http.Request) http.Header {
	h := in.Header.Clone()
	dropHop(h)
	h.Del("Expect") // the body is here already
	for _, name := range claims {
		h.Del(name)
	}
	for _, name := range replayHeaders {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	if strings.Contains(in.Header.Get("Te"), "trailers") {
		h.Set("Te", "trailers") // gRPC does not work without
	}
	if host, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		h.Set("X-Forwarded-For", host)
	}
	h.Set("X-Forwarded-Host", in.Host)
	h.Set("X-Forwarded-Proto", "http")
	if id := h.Get(requestID); !validRequestID(id) {
		h.Set(requestID, string(appendRequestID(nil)))
	}
	return h
}

func dropHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopHeaders {
		h.Del(name)
	}
}
