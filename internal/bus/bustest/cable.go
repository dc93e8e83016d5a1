package bustest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Cable is a way to a broker that can be cut.
type Cable struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// NewCable to a broker's URL; it is taken away when the test ends.
func NewCable(t testing.TB, url string) *Cable {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{ln: ln, to: strings.TrimPrefix(url, "nats://"), conns: map[net.Conn]bool{}}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		_ = ln.Close()
		c.Cut()
		c.wg.Wait()
	})
	return c
}

// URL of this end.
func (c *Cable) URL() string { return "nats://" + c.ln.Addr().String() }

// Cut every connection, and refuse new ones.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

// Mend it: new connections go through.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

func (c *Cable) serve() {
	for {
		near, err := c.ln.Accept()
		if err != nil {
			return // the test's end
		}
		far, err := net.Dial("tcp", c.to) //nolint:noctx // Cut ends it
		if err != nil {
			_ = near.Close()
			continue
		}
		if !c.keep(near, far) {
			continue
		}
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			c.wg.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // until either end is closed
				_, _ = way[0].Close(), way[1].Close()
			})
		}
	}
}

// keep both ends of a connection, unless the cable is cut.
func (c *Cable) keep(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range ends {
		if c.cut {
			_ = conn.Close()
			continue
		}
		c.conns[conn] = true
	}
	return !c.cut
}
