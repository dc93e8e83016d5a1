package http1

import (
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// Passing of an answer from a connection to a client.
type Passing struct {
	// Without is the name, in lower case, of a field that is not passed on.
	Without string
	// Until the answer has to be through; zero for no end.
	Until time.Time
	// Patience without a byte of it, after which the client is watched.
	Patience time.Duration
}

// Pass the answer whose head was awaited on a connection to the client, as it comes. ErrGone when the client is; after any
// error its connection, which is of no use any more, does not look as if the answer had ended.
func (c *Client) Pass(x *Conn, p Passing) error {
	re := &x.Reply
	if re.Body == Unsized || re.Body == Chunked && c.Old {
		c.Keep = false // the end of the connection is the end of the answer
	}
	out := append(append(append(c.Out[:0], "HTTP/1.1 "...), re.Line...), "\r\n"...)
	out = appendFields(out, re.Fields, p.Without)
	switch {
	case re.Sized && re.Length >= 0:
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), re.Length, 10), "\r\n"...)
	case re.Body == Chunked && !c.Old:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if !c.Keep {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)
	c.Out = out
	err := c.pass(x, p)
	if err == nil {
		return nil
	}
	c.Keep = false
	if tcp, ok := c.conn.(*net.TCPConn); ok && (re.Body == Unsized || c.Old) {
		_ = tcp.SetLinger(0) // closing it resets it then; elsewhere it shows that the last chunk, or some of the length, is missing
	}
	return err
}

// AppendField to a head.
func AppendField(out, name, value []byte) []byte {
	return append(append(append(append(out, name...), ": "...), value...), "\r\n"...)
}

func appendFields(out []byte, fields []Field, without string) []byte {
	for i := range fields {
		if f := &fields[i]; !f.Hop && !f.Is(without) {
			out = AppendField(out, f.Name, f.Value)
		}
	}
	return out
}

// pass the body on, behind its head.
func (c *Client) pass(x *Conn, p Passing) error {
	var chunks Chunks
	left := x.Reply.Body
	for {
		done, err := false, error(nil)
		switch have := x.Bytes(); left {
		case Chunked:
			done, err = c.passChunks(x, &chunks, p)
		case Unsized:
			c.Out = append(c.Out, have...)
			x.Skip(len(have))
		default:
			n := int(min(left, int64(len(have))))
			c.Out = append(c.Out, have[:n]...)
			x.Skip(n)
			left -= int64(n)
			done = left == 0
		}
		if err != nil {
			return err
		}
		if len(c.Out) > 0 {
			if _, err := c.conn.Write(c.Out); err != nil {
				return ErrGone
			}
			c.Out = c.Out[:0]
		}
		if done {
			return nil
		}
		if err := c.more(x, p); errors.Is(err, io.EOF) && left == Unsized {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// passChunks that are there, as they are; to a client that knows none, what is in them.
func (c *Client) passChunks(x *Conn, chunks *Chunks, p Passing) (done bool, err error) {
	for !chunks.Ended() {
		b := x.Bytes()
		data, n, err := chunks.Next(b)
		if err != nil || n == 0 {
			return false, err
		}
		if !c.Old {
			data = b[:n]
		}
		c.Out = append(c.Out, data...)
		x.Skip(n)
	}
	var after Message
	n, err := Trailers(x.Bytes(), &after)
	if err != nil || n == 0 {
		return false, err
	}
	if !c.Old {
		c.Out = append(appendFields(c.Out, after.Fields, p.Without), "\r\n"...)
	}
	x.Skip(n)
	return true, nil
}

// more of an answer; while it takes long, its client is watched.
func (c *Client) more(x *Conn, p Passing) error {
	now := time.Now()
	c.renew(now)
	if c.watched == nil {
		patience := now.Add(p.Patience)
		if !p.Until.IsZero() && p.Until.Before(patience) {
			patience = p.Until
		}
		if err := x.Wait(nil, patience); !errors.Is(err, ErrPatience) { //nolint:staticcheck // SA1012: nil is nobody to watch
			return err
		}
	}
	ctx := c.Watch()
	if err := x.Wait(ctx, p.Until); ctx.Err() == nil {
		return err
	}
	return ErrGone
}
