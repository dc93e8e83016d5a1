package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// firstBuffer of a client: what browsers send, cookies included.
	firstBuffer = 4 << 10
	// inOneWrite with the head goes a body of at most this many bytes: copying it costs less than another system call.
	inOneWrite = 16 << 10
	// maxKept is the largest body whose memory a client keeps for the next.
	maxKept = 64 << 10
)

// States of a client.
const (
	idle int32 = iota // between two requests
	busy
	gone // closed by Shutdown while it was idle
)

// client is one connection of HTTP/1.1, and the carrier of its requests, one at a time.
type client struct {
	router  *Router
	conn    net.Conn
	peer    string
	in      http1.Buffer
	state   atomic.Int32
	leaving atomic.Bool // the server ends: the next answer is the last

	head    []byte // of the request
	req     http1.Request
	body    []byte
	memory  []byte // for bodies
	id      []byte // of the request
	out     []byte // what is written next, to the cell or to the client
	trip    trip
	keep    bool // the connection, after this answer
	renewed time.Time
	unwatch func()
}

var _ carrier = (*client)(nil)

func newClient(r *Router, conn net.Conn) *client {
	c := &client{router: r, conn: conn, in: http1.NewBuffer(conn, firstBuffer)}
	c.peer, _, _ = net.SplitHostPort(conn.RemoteAddr().String()) // empty for what is no address
	return c
}

// serve requests until the connection ends. One of HTTP/2 is handed over, if somebody takes it.
func (c *client) serve(two chan<- net.Conn, closed <-chan struct{}) (handed bool) {
	for first := true; ; first = false {
		c.renew(machine.Now())
		head, err := c.next(first)
		switch {
		case errors.Is(err, errTwo):
			select {
			case two <- &begun{c.conn, c.in.Bytes()}:
				_ = c.conn.SetDeadline(time.Time{}) // its new server sets its own
				return true
			case <-closed:
				return false
			}
		case err != nil:
			c.malformed(err)
			return false
		}
		if !c.state.CompareAndSwap(idle, busy) || !c.exchange(head) {
			return false
		}
		c.state.Store(idle)
		if c.leaving.Load() { // Shutdown has looked while it was busy
			return false
		}
	}
}

// renew the time that a client may be idle, or not read.
func (c *client) renew(now time.Time) {
	if now.Sub(c.renewed) > idleTimeout/2 {
		c.renewed = now
		_ = c.conn.SetDeadline(now.Add(idleTimeout)) // it fails when it is closed, as the next read will tell
	}
}

var errTwo = errors.New("the client speaks HTTP/2")

// next request's head, as soon as it is whole.
func (c *client) next(first bool) ([]byte, error) {
	for slow := false; ; {
		two, maybe := speaksTwo(c.in.Bytes())
		if first && two {
			return nil, errTwo
		}
		if !maybe || !first {
			if head, err := c.in.Head(); head != nil || err != nil {
				return head, err
			}
		}
		if len(c.in.Bytes()) > 0 && !slow {
			slow = true
			c.within(headTimeout)
		}
		if err := c.in.Fill(); err != nil {
			return nil, err
		}
	}
}

// within a time what is read next has to be there.
func (c *client) within(d time.Duration) {
	c.renewed = time.Time{} // so that the next request gets its own
	_ = c.conn.SetReadDeadline(machine.Now().Add(d))
}

// exchange a request for an answer. False when the connection is to end.
func (c *client) exchange(head []byte) bool {
	if err := c.take(head); err != nil {
		c.malformed(err)
		return false
	}
	c.keep = !c.req.Close && !c.leaving.Load() && !c.router.draining.Load()
	if path := c.path(); path == "/livez" || path == "/readyz" {
		return c.own(path)
	}
	start := c.router.deps.Clock.Now()
	cell, result := c.forward(start)
	c.router.ended(cell, result, start)
	return c.keep
}

// take a head from the buffer, since that is where a body is read into, and read it.
func (c *client) take(head []byte) error {
	c.head = append(c.head[:0], head...)
	c.in.Skip(len(head))
	return http1.ParseRequest(c.head, &c.req)
}

func (c *client) path() string {
	for i, b := range c.req.Target {
		if b == '?' {
			return view(c.req.Target[:i])
		}
	}
	return view(c.req.Target)
}

// own pages of the router.
func (c *client) own(path string) bool {
	c.keep = c.keep && (!c.req.Sized || c.req.Length == 0) // nobody reads a body here
	w := recorder{header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}
	w.status, w.body = c.router.own(path)
	return c.write(&w) == nil && c.keep
}

// forward a request, and tell which cell had it last and how it ended.
func (c *client) forward(start time.Time) (cell, result string) {
	defer c.router.leave()
	if !c.router.admit() {
		c.keep = false // its body was not read
		return "", c.refuse(errOverloaded)
	}
	held, p := c.readBody()
	defer c.router.bodies.Add(-held)
	if p != nil {
		c.keep = false
		return "", c.refuse(p)
	}
	t := &c.trip
	*t = trip{router: c.router, carrier: c, begun: start, sent: machine.Now()}
	streams := c.describe(t)
	y, p := t.run()
	if p != nil {
		c.endWatch()
		return t.cell, c.refuse(p)
	}
	if streams && t.timeout == 0 {
		t.until = time.Time{}
	}
	x := (*http1.Conn)(y.attempt.(*lean)) //nolint:forcetypeassert // send makes no other
	err := c.answer(x)
	y.node.inFlight.Add(-1)
	c.endWatch()
	switch {
	case err != nil:
		c.cut(x, t.cell, err)
		return t.cell, Cut
	case t.redirected:
		result = Redirected
	default:
		result = Answered
	}
	y.node.pool.Put(x, t.sent)
	return t.cell, result
}

// cut the connection in a way that does not look like the answer's end.
func (c *client) cut(x *http1.Conn, cell string, err error) {
	x.Close()
	c.keep = false
	if !errors.Is(err, errGone) {
		c.router.deps.Log.Warn("an answer was cut short", "cell", cell, "error", err)
	}
	if tcp, ok := c.conn.(*net.TCPConn); ok && (x.Reply.Body == http1.Unsized || c.req.Old) {
		_ = tcp.SetLinger(0) // closing it resets it then; elsewhere it shows that the last chunk, or some of the length, is missing
	}
}

// readBody whole. No method of the platform streams upwards, so that every body is short; having it whole is what makes
// sending it again possible. It tells how many bytes of memory it took.
func (c *client) readBody() (held int64, refusal *problem.Problem) {
	length := c.req.Length
	c.body = nil
	if length == 0 {
		return 0, nil
	}
	if length > maxBody {
		return 0, errBodyTooLong // before a byte of it is taken
	}
	if have := c.in.Bytes(); length > 0 && int64(len(have)) >= length {
		c.body = have[:length]
		c.in.Skip(int(length)) // it stays where it is until the next request is read
		return 0, nil
	}
	if held = max(length, maxKept); c.router.bodies.Add(held) > maxBodies {
		return held, errOverloaded
	}
	if c.req.Continue && len(c.in.Bytes()) == 0 {
		if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return held, errGone
		}
	}
	c.within(bodyTimeout)
	var err error
	if length == http1.Chunked {
		err = c.readChunks()
	} else {
		if int64(cap(c.memory)) < length {
			c.memory = make([]byte, length)
		}
		c.body = c.memory[:length]
		n := copy(c.body, c.in.Bytes())
		c.in.Skip(n)
		_, err = io.ReadFull(c.conn, c.body[n:])
	}
	if cap(c.memory) > maxKept {
		c.memory = nil
	}
	c.renew(machine.Now())
	switch {
	case err == nil:
		return held, nil
	case errors.Is(err, errBodyTooLong):
		return held, errBodyTooLong
	default:
		return held, problem.Wrap(err, problem.Invalid, "BODY_UNREADABLE", "the request's body could not be read")
	}
}

// readChunks of a body, whose end is a blank line: trailers of requests are refused.
func (c *client) readChunks() error {
	var chunks http1.Chunks
	body := c.memory[:0]
	for !chunks.Ended() {
		data, n, err := chunks.Next(c.in.Bytes())
		if err != nil {
			return err
		}
		if len(body)+len(data) > maxBody {
			return errBodyTooLong
		}
		body = append(body, data...)
		c.in.Skip(n)
		if n == 0 {
			if err := c.in.Fill(); err != nil {
				return err
			}
		}
	}
	c.memory, c.body = body, body
	for len(c.in.Bytes()) < 2 {
		if err := c.in.Fill(); err != nil {
			return err
		}
	}
	if b := c.in.Bytes(); b[0] != '\r' || b[1] != '\n' {
		return http1.ErrMalformed
	}
	c.in.Skip(2)
	return nil
}

// describe the request to the trip, and tell whether its answer may never end.
func (c *client) describe(t *trip) (streams bool) {
	var timeout []byte
	c.id = c.id[:0]
	for i := range c.req.Fields {
		switch f := &c.req.Fields[i]; {
		case f.Is("content-type"):
			streams = streams || mayStream(view(f.Value))
		case f.Is("accept"):
			streams = streams || acceptsStream(view(f.Value))
		case f.Is("connect-timeout-ms"):
			timeout = f.Value
		case f.Is("x-request-id"):
			if len(c.id) == 0 && validRequestID(view(f.Value)) {
				c.id = append(c.id, f.Value...)
			}
		}
	}
	if len(c.id) == 0 {
		c.id = appendRequestID(c.id)
	}
	t.customer, t.owned = customerIn(c.req.Fields)
	t.safe = c.router.safe(view(c.req.Method), c.path())
	t.size = len(c.body)
	t.timeout, t.asked = timeoutOf(view(timeout), streams)
	t.until = t.sent.Add(firstWord(t.timeout))
	return streams
}

// appendRequest as the cell gets it: its head, and its body if that is short.
func (c *client) appendRequest(out []byte, left time.Duration) []byte {
	r := &c.req
	out = append(append(append(append(out, r.Method...), ' '), r.Target...), " HTTP/1.1\r\n"...)
	out = appendField(out, "Host", r.Host)
	for i := range r.Fields {
		if f := &r.Fields[i]; !f.Hop && !rewritten(f) && (left == 0 || !f.Is("connect-timeout-ms")) {
			out = appendField(out, view(f.Name), f.Value)
		}
	}
	if c.peer != "" {
		out = append(append(append(out, "X-Forwarded-For: "...), c.peer...), "\r\n"...)
	}
	out = appendField(out, "X-Forwarded-Host", r.Host)
	out = append(out, "X-Forwarded-Proto: http\r\n"...)
	out = appendField(out, requestID, c.id)
	if r.Trailers {
		out = append(out, "Te: trailers\r\n"...)
	}
	if left > 0 {
		out = append(strconv.AppendInt(append(out, timeoutHeader+": "...), left.Milliseconds(), 10), "\r\n"...)
	}
	if r.Sized {
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), int64(len(c.body)), 10), "\r\n"...)
	}
	out = append(out, "\r\n"...)
	if len(c.body) <= inOneWrite {
		out = append(out, c.body...)
	}
	return out
}

func appendField(out []byte, name string, value []byte) []byte {
	return append(append(append(append(out, name...), ": "...), value...), "\r\n"...)
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
		return f.Is("x-forwarded-proto") || f.Is("cellar-wrong-cell")
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
		if f := &l.Reply.Fields[i]; f.Is("cellar-wrong-cell") {
			return parseRedirect(string(f.Value))
		}
	}
	return redirect{}, false
}

func (l *lean) drop() {
	(*http1.Conn)(l).Interrupt()
	(*http1.Conn)(l).Close()
}

// send implements carrier.
func (c *client) send(to member, left time.Duration) (attempt, error) {
	c.out = c.appendRequest(c.out[:0], left)
	for {
		x := to.node.pool.Get(to.cell.Public, c.trip.sent)
		if x == nil {
			var err error
			if x, err = http1.Dial(context.Background(), &dialer, to.cell.Public); err != nil {
				return nil, err
			}
		}
		x.HeadOnly = string(c.req.Method) == http.MethodHead
		n, err := x.Conn.Write(c.out)
		if err == nil && len(c.body) > inOneWrite {
			_ = x.Conn.SetWriteDeadline(c.trip.until) // what does not fit into the kernel's memory waits for the cell
			_, err = x.Conn.Write(c.body)
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

// watch implements carrier: whoever says nothing is still there, and whoever says something early is too.
func (c *client) watch() context.Context {
	if c.unwatch != nil {
		return c.trip.ctx
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var early [1]byte
	n := 0
	_ = c.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		if n, _ = c.conn.Read(early[:]); n == 0 {
			cancel()
		}
	}()
	c.unwatch = func() {
		c.within(-time.Hour) // long ago
		<-done
		cancel()
		c.in.Put(early[:n])
		c.renew(machine.Now())
	}
	return ctx
}

func (c *client) endWatch() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
}
