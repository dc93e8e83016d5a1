package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Limits of our patience with clients.
const (
	// idleTimeout is longer than clients of ours keep an idle connection, so that it is they who close. It is renewed when
	// half of it is over, to save some work for each request; and what an answer may wait for its client to read on.
	idleTimeout = 120 * time.Second
	// headTimeout drops clients that begin a request and do not go on; bodyTimeout is for a mebibyte by a bad line.
	headTimeout = 5 * time.Second
	bodyTimeout = 20 * time.Second
	// lingering reads what a refused client still sends, so that it hears why before its connection is reset.
	lingering    = time.Second
	maxLingering = 4 << 20
	// clientBuffer is what browsers send, cookies included.
	clientBuffer = 4 << 10
	// maxKept is the largest body whose memory a client keeps for the next.
	maxKept = 64 << 10
)

// States of a client.
const (
	idle int32 = iota // between two requests
	busy
	gone // closed by Shutdown while it was idle
)

// Client is a connection to a client, with one request at a time.
type Client struct {
	Request
	// Body of the request, after ReadBody; good until the next one.
	Body []byte
	// Peer is the client's address without its port; empty if it has none.
	Peer string
	// Keep the connection after this answer; it may be made false.
	Keep bool
	// Out is memory for whoever writes.
	Out []byte

	conn    net.Conn
	in      Buffer
	head    []byte // of the request: bodies are read into the buffer that it was in
	memory  []byte // for bodies
	state   atomic.Int32
	leaving atomic.Bool // the server ends: the next answer is the last
	served  bool        // there was a request
	two     bool        // it speaks HTTP/2, and is somebody else's
	renewed time.Time
	watched context.Context
	unwatch func()
}

// What a body is refused for, and what an answer ends for.
var (
	ErrBodyTooLong = errors.New("http1: the body is too long")
	ErrGone        = errors.New("http1: the client has gone")
)

// NewClient of a connection.
func NewClient(conn net.Conn) *Client {
	c := &Client{conn: conn, in: NewBuffer(conn, clientBuffer)}
	c.Peer, _, _ = net.SplitHostPort(conn.RemoteAddr().String()) // empty for what is no address
	return c
}

// Next request. False when there will be none: the client has gone, has said something malformed, which is answered
// here, or has been asked to leave.
func (c *Client) Next() bool {
	if c.served && (!c.Keep || c.leaving.Load()) {
		return false
	}
	c.state.Store(idle)
	if c.leaving.Load() { // Shutdown has looked while it was busy
		return false
	}
	c.renew(time.Now())
	head, err := c.next()
	if err == nil && head != nil {
		err = c.Take(head)
	}
	c.Keep, c.served = !c.Close && !c.leaving.Load(), true
	if c.two || err != nil {
		c.malformed(err)
		return false
	}
	return c.state.CompareAndSwap(idle, busy)
}

// Take a head from the buffer, and read it.
func (c *Client) Take(head []byte) error {
	c.head = append(c.head[:0], head...)
	c.in.Skip(len(head))
	c.Body = nil
	return ParseRequest(c.head, &c.Request)
}

// leave now, or after the answer under way.
func (c *Client) leave() {
	c.leaving.Store(true)
	if c.state.CompareAndSwap(idle, gone) {
		_ = c.conn.Close() // it hears that from its read
	}
}

// Rest is what was read and belongs to no request yet; good until the next is read.
func (c *Client) Rest() []byte { return c.in.Bytes() }

// renew the time that a client may be idle, or not read.
func (c *Client) renew(now time.Time) {
	if now.Sub(c.renewed) > idleTimeout/2 {
		c.renewed = now
		_ = c.conn.SetDeadline(now.Add(idleTimeout)) // it fails when it is closed, as the next read will tell
	}
}

// within a time what is read next has to be there.
func (c *Client) within(d time.Duration) {
	c.renewed = time.Time{} // so that the next request gets its own
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
}

// next request's head, as soon as it is whole; none of a connection of HTTP/2.
func (c *Client) next() ([]byte, error) {
	for slow := false; ; {
		maybe := false
		if !c.served {
			c.two, maybe = speaksTwo(c.in.Bytes())
		}
		if c.two {
			return nil, c.conn.SetDeadline(time.Time{}) // its new server sets its own
		}
		if !maybe {
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

// Needs is how many bytes of memory ReadBody takes for a body: none for one that is there already.
func (c *Client) Needs() int64 {
	if c.Length >= 0 && int64(len(c.in.Bytes())) >= c.Length {
		return 0
	}
	return max(c.Length, maxKept)
}

// ReadBody whole, of at most so many bytes. After an error nothing more can be read.
func (c *Client) ReadBody(most int64) error {
	if c.Length > most {
		return ErrBodyTooLong // before a byte of it is taken
	}
	if c.Needs() == 0 {
		c.Body = c.in.Bytes()[:c.Length]
		c.in.Skip(int(c.Length)) // it stays where it is until the next request is read
		return nil
	}
	if c.Continue && len(c.in.Bytes()) == 0 {
		if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return ErrGone
		}
	}
	c.within(bodyTimeout)
	err := c.readBody(most)
	if cap(c.memory) > maxKept {
		c.memory = nil
	}
	c.renew(time.Now())
	return err
}

func (c *Client) readBody(most int64) error {
	if c.Length == Chunked {
		return c.readChunks(most)
	}
	if int64(cap(c.memory)) < c.Length {
		c.memory = make([]byte, c.Length)
	}
	c.Body = c.memory[:c.Length]
	n := copy(c.Body, c.in.Bytes())
	c.in.Skip(n)
	_, err := io.ReadFull(c.conn, c.Body[n:])
	return err
}

// readChunks of a body, whose end is a blank line: trailers of requests are refused.
func (c *Client) readChunks(most int64) error {
	var chunks Chunks
	body := c.memory[:0]
	for !chunks.Ended() {
		data, n, err := chunks.Next(c.in.Bytes())
		if err != nil {
			return err
		}
		if int64(len(body)+len(data)) > most {
			return ErrBodyTooLong
		}
		body = append(body, data...)
		c.in.Skip(n)
		if n == 0 {
			if err := c.in.Fill(); err != nil {
				return err
			}
		}
	}
	c.memory, c.Body = body, body
	for len(c.in.Bytes()) < 2 {
		if err := c.in.Fill(); err != nil {
			return err
		}
	}
	if b := c.in.Bytes(); b[0] != '\r' || b[1] != '\n' {
		return ErrMalformed
	}
	c.in.Skip(2)
	return nil
}

// Watch the client until Unwatch: the context ends when it goes away. Whoever says nothing is still there, and whoever says
// something early is too.
func (c *Client) Watch() context.Context {
	if c.unwatch != nil {
		return c.watched
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
	c.watched = ctx
	c.unwatch = func() {
		c.within(-time.Hour) // long ago
		<-done
		cancel()
		c.in.Put(early[:n])
		c.renew(time.Now())
	}
	return ctx
}

// Unwatch the client, if it was watched.
func (c *Client) Unwatch() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch, c.watched = nil, nil
	}
}

// Write an answer of our own.
func (c *Client) Write(status int, header http.Header, body []byte) error {
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if !c.Keep {
		header.Set("Connection", "close")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&b) // memory takes everything
	b.WriteString("\r\n")
	if string(c.Method) != http.MethodHead {
		b.Write(body)
	}
	_, err := c.conn.Write(b.Bytes())
	if !c.Keep {
		c.linger()
	}
	return err
}

// malformed requests get a plain answer, and nothing after them is read as one. Who is gone, or silent, gets none.
func (c *Client) malformed(err error) {
	if refusal, ok := errors.AsType[*Error](err); ok {
		c.Keep, c.Method = false, nil
		_ = c.Write(refusal.Status, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(refusal.Why+"\n"))
	}
}

// linger until a client whose request was not read has heard the answer: closing at once would reset it.
func (c *Client) linger() {
	if tcp, ok := c.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		c.within(lingering)
		_, _ = io.CopyN(io.Discard, c.conn, maxLingering) // whatever it says
	}
}
