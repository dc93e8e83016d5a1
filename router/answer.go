package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// answer a client with what a cell says, as it comes.
func (c *client) answer(x *http1.Conn) error {
	re := &x.Reply
	if re.Body == http1.Unsized || re.Body == http1.Chunked && c.req.Old {
		c.keep = false // the end of the connection is the end of the answer
	}
	out := append(append(append(c.out[:0], "HTTP/1.1 "...), re.Line...), "\r\n"...)
	for i := range re.Fields {
		if f := &re.Fields[i]; !f.Hop && !f.Is("cellar-wrong-cell") {
			out = appendField(out, view(f.Name), f.Value)
		}
	}
	switch {
	case re.Sized && re.Length >= 0:
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), re.Length, 10), "\r\n"...)
	case re.Body == http1.Chunked && !c.req.Old:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if !c.keep {
		out = append(out, "Connection: close\r\n"...)
	}
	c.out = append(out, "\r\n"...)
	return c.pass(x)
}

// pass an answer's body on, behind its head.
func (c *client) pass(x *http1.Conn) error {
	var chunks http1.Chunks
	left := x.Reply.Body
	for {
		done, err := false, error(nil)
		switch have := x.Bytes(); left {
		case http1.Chunked:
			done, err = c.passChunks(x, &chunks)
		case http1.Unsized:
			c.out = append(c.out, have...)
			x.Skip(len(have))
		default:
			n := int(min(left, int64(len(have))))
			c.out = append(c.out, have[:n]...)
			x.Skip(n)
			left -= int64(n)
			done = left == 0
		}
		if err != nil {
			return err
		}
		if len(c.out) > 0 {
			if _, err := c.conn.Write(c.out); err != nil {
				return errGone
			}
			c.out = c.out[:0]
		}
		if done {
			return nil
		}
		if err := c.more(x); errors.Is(err, io.EOF) && left == http1.Unsized {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// passChunks that are there, as they are; to a client that knows none, what is in them.
func (c *client) passChunks(x *http1.Conn, chunks *http1.Chunks) (done bool, err error) {
	for !chunks.Ended() {
		b := x.Bytes()
		data, n, err := chunks.Next(b)
		if err != nil || n == 0 {
			return false, err
		}
		if !c.req.Old {
			data = b[:n]
		}
		c.out = append(c.out, data...)
		x.Skip(n)
	}
	var after http1.Message
	n, err := http1.Trailers(x.Bytes(), &after)
	if err != nil || n == 0 {
		return false, err
	}
	x.Skip(n)
	if c.req.Old {
		return true, nil
	}
	for i := range after.Fields {
		if f := &after.Fields[i]; !f.Hop && !f.Is("cellar-wrong-cell") {
			c.out = appendField(c.out, view(f.Name), f.Value)
		}
	}
	c.out = append(c.out, "\r\n"...)
	return true, nil
}

// more of an answer; while it takes long, its client is watched.
func (c *client) more(x *http1.Conn) error {
	t, now := &c.trip, machine.Now()
	c.renew(now)
	if t.ctx == nil {
		if err := x.Wait(nil, earlier(now.Add(watchAfter), t.until)); !errors.Is(err, http1.ErrPatience) {
			return err
		}
		t.ctx = c.watch()
	}
	err := x.Wait(t.ctx, t.until)
	if t.ctx.Err() != nil {
		return errGone
	}
	return err
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

// write an answer of the router's own.
func (c *client) write(w *recorder) error {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	if !c.keep {
		w.header.Set("Connection", "close")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.Write(&b) // memory takes everything
	b.WriteString("\r\n")
	if string(c.req.Method) != http.MethodHead {
		b.Write(w.body)
	}
	_, err := c.conn.Write(b.Bytes())
	if !c.keep {
		c.linger()
	}
	return err
}

// refuse a request in its own protocol, and give the reason back.
func (c *client) refuse(p *problem.Problem) string {
	in := &http.Request{Method: string(c.req.Method), URL: &url.URL{}, Header: http.Header{}}
	if u, err := url.ParseRequestURI(string(c.req.Target)); err == nil {
		in.URL = u
	}
	for _, f := range c.req.Fields {
		in.Header.Add(string(f.Name), string(f.Value))
	}
	w := recorder{header: http.Header{}}
	c.router.refuse(&w, in, p)
	if c.write(&w) != nil {
		c.keep = false
	}
	return p.Reason
}

// malformed requests get a plain answer, and nothing after them is read as one. Who is gone, or silent, gets none.
func (c *client) malformed(err error) {
	if refusal, ok := errors.AsType[*http1.Error](err); ok {
		c.keep, c.req.Method = false, nil
		_ = c.write(&recorder{header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, status: refusal.Status, body: []byte(refusal.Why + "\n")})
	}
}

// linger until a client whose request was not read has heard the answer: closing at once would reset it.
func (c *client) linger() {
	if tcp, ok := c.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_ = c.conn.SetReadDeadline(machine.Now().Add(lingering))
		_, _ = io.CopyN(io.Discard, c.conn, maxLingering) // whatever it says
	}
}

var dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
