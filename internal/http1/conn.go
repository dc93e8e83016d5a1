package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// maxIdle connections to one server: as many as may be busy in a rush, and then some wait.
	maxIdle = 512
	// idleFor is less than servers of ours keep an idle connection, so that it is the client who closes.
	idleFor = 90 * time.Second
	// firstBuffer of a connection: most answers fit whole.
	firstBuffer = 16 << 10
)

// Conn to a server, for one request at a time.
type Conn struct {
	Buffer
	// Reply whose head was awaited last.
	Reply Response
	// Reused tells that it has carried a request before.
	Reused bool
	// HeadOnly is set for a request whose answer has no body, whatever it says.
	HeadOnly bool

	address string
	rested  time.Time
	raw     syscall.RawConn
	look    func(fd uintptr)
	quiet   bool
	one     [1]byte
}

// ErrPatience: nothing has come until the given time. Wait again, or give up.
var ErrPatience = errors.New("http1: no answer yet")

var longAgo = time.Unix(1, 0)

// Await the head of the answer, until a time; zero for no end. Answers that come before the final one are passed over.
// The context may be nil; when it ends, so does this, with its error.
func (c *Conn) Await(ctx context.Context, until time.Time) error {
	for {
		head, err := c.Head()
		if err != nil {
			return err
		}
		if head == nil {
			if err := c.Wait(ctx, until); err != nil {
				return err
			}
			continue
		}
		if err := ParseResponse(head, c.HeadOnly, &c.Reply); err != nil {
			return err
		}
		c.Skip(len(head))
		if c.Reply.Status == http.StatusSwitchingProtocols {
			return ErrMalformed // nobody has asked for it
		}
		if c.Reply.Status >= http.StatusOK {
			return nil
		}
	}
}

// Wait for more of the answer, as Await does.
func (c *Conn) Wait(ctx context.Context, until time.Time) error {
	if err := c.Conn.SetReadDeadline(until); err != nil {
		return err
	}
	if ctx != nil {
		stop := context.AfterFunc(ctx, c.Interrupt) // after the deadline is set, so as not to be overwritten
		defer stop()
	}
	err := c.Fill()
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if ctx != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return ErrPatience
}

// Interrupt whoever waits; the connection is of no use afterwards.
func (c *Conn) Interrupt() { _ = c.Conn.SetReadDeadline(longAgo) } // it fails only when it is closed already

// Close the connection for good.
func (c *Conn) Close() { _ = c.Conn.Close() } // there is nobody to tell

// alive tells whether a connection that rested has neither ended nor said anything: it costs a system call, and saves
// a request that could not be sent again from being written to nobody.
func (c *Conn) alive() bool {
	c.quiet = false
	return c.raw.Control(c.look) == nil && c.quiet
}

// Pool of connections to one server that rest. The zero value is ready.
type Pool struct {
	mu     sync.Mutex
	idle   []*Conn // the one used last is at the end, and goes first
	closed bool
}

// Get a connection that rested, or nil.
func (p *Pool) Get(address string, now time.Time) *Conn {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		if c.address == address && now.Sub(c.rested) < idleFor && c.alive() {
			c.Reused = true
			return c
		}
		c.Close()
	}
}

// Dial a server for a new connection.
func Dial(ctx context.Context, d *net.Dialer, address string) (*Conn, error) {
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Conn{Buffer: NewBuffer(conn, firstBuffer), address: address}
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		c.Close()
		return nil, errors.ErrUnsupported // "tcp" gives none such
	}
	if c.raw, err = tcp.SyscallConn(); err != nil {
		c.Close()
		return nil, err
	}
	c.look = func(fd uintptr) {
		n, err := syscall.Read(int(fd), c.one[:]) // never blocks: the runtime's descriptors do not
		c.quiet = n < 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR))
	}
	return c, nil
}

// Put a connection to rest whose answer is through.
func (p *Pool) Put(c *Conn, now time.Time) {
	c.rested = now
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.Reply.Close || len(c.Bytes()) > 0 || len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

// Sweep closes what has rested for too long.
func (p *Pool) Sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].rested) >= idleFor {
		p.idle[n].Close()
		n++
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
}

// Close all that rest, and whatever comes to rest later.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle, p.closed = nil, true
}
