package http1

import (
	"bytes"
	"net"
)

// Buffer of what a connection has said and nobody has taken.
type Buffer struct {
	Conn net.Conn

	b    []byte
	r, w int
}

// NewBuffer of a first size in bytes.
func NewBuffer(conn net.Conn, size int) Buffer { return Buffer{Conn: conn, b: make([]byte, size)} }

// Bytes that are there; good until the next Fill.
func (b *Buffer) Bytes() []byte { return b.b[b.r:b.w] }

// Skip bytes that have been taken.
func (b *Buffer) Skip(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// Put bytes that were read elsewhere behind those that are there; there must be room for them.
func (b *Buffer) Put(p []byte) {
	b.makeRoom()
	b.w += copy(b.b[b.w:], p)
}

func (b *Buffer) makeRoom() {
	if b.w < len(b.b) {
		return
	}
	if b.r > 0 {
		b.w, b.r = copy(b.b, b.b[b.r:b.w]), 0
		return
	}
	if len(b.b) < MaxHead {
		b.b = append(b.b, make([]byte, len(b.b))...)
	}
}

// Fill reads once from the connection: at least a byte, or an error. ErrTooLong when what is there fills the buffer.
func (b *Buffer) Fill() error {
	b.makeRoom()
	if b.w == len(b.b) {
		return ErrTooLong
	}
	n, err := b.Conn.Read(b.b[b.w:])
	if b.w += n; n > 0 {
		return nil // the error comes again
	}
	return err
}

// Head of the message that is there, the blank line included; nil as long as it is not whole.
func (b *Buffer) Head() ([]byte, error) {
	have := b.Bytes()
	if i := bytes.Index(have, headEnd); i >= 0 {
		return have[:i+len(headEnd)], nil
	}
	for rest := have; ; { // a line feed alone never becomes right: say so at once
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return nil, nil
		}
		if i == 0 || rest[i-1] != '\r' {
			return nil, ErrMalformed
		}
		rest = rest[i+1:]
	}
}
