package http1

// Chunks follows a chunked body through the bytes of its connection. The zero value is at the beginning.
type Chunks struct {
	left int64 // of the chunk
	at   chunkPart
}

type chunkPart int

const (
	atSize chunkPart = iota
	inData
	afterData
	atTrailers
)

// maxSizeDigits of a chunk: 2^60 bytes.
const maxSizeDigits = 15

// Next part of the body in b: the data of it, and how many bytes of b it took. It takes nothing when it needs more to go
// on, or when the chunks have ended.
func (c *Chunks) Next(b []byte) (data []byte, took int, err error) {
	switch c.at {
	case atSize:
		took, err = c.size(b)
		return nil, took, err
	case inData:
		took = int(min(c.left, int64(len(b))))
		if c.left -= int64(took); c.left == 0 {
			c.at = afterData
		}
		return b[:took], took, nil
	case afterData:
		if len(b) < 2 {
			return nil, 0, nil
		}
		if b[0] != '\r' || b[1] != '\n' {
			return nil, 0, ErrMalformed
		}
		c.at = atSize
		return nil, 2, nil
	default:
		return nil, 0, nil
	}
}

// Ended tells that what follows are the trailers, and the blank line behind them.
func (c *Chunks) Ended() bool { return c.at == atTrailers }

// size of the next chunk: digits and nothing else. 0 bytes taken when the line is not whole.
func (c *Chunks) size(b []byte) (took int, err error) {
	n, i := int64(0), 0
	for ; i < len(b) && hexDigit[b[i]]; i++ {
		if i == maxSizeDigits {
			return 0, ErrMalformed
		}
		n = n<<4 | int64(unhex(b[i]))
	}
	switch {
	case i == len(b), i > 0 && i+1 == len(b) && b[i] == '\r':
		return 0, nil
	case i == 0 || b[i] != '\r' || b[i+1] != '\n':
		return 0, ErrMalformed
	}
	c.left, c.at = n, inData
	if n == 0 {
		c.at = atTrailers
	}
	return i + 2, nil
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	default:
		return c | 0x20 - 'a' + 10
	}
}

// Trailers in b, the blank line behind them included: how many bytes they take; 0 when they are not whole yet.
func Trailers(b []byte, m *Message) (took int, err error) {
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		m.Fields = m.Fields[:0]
		return 2, nil
	}
	buffer := Buffer{b: b, w: len(b)}
	head, err := buffer.Head()
	if head == nil || err != nil {
		return 0, err
	}
	if err := m.parse(head); err != nil {
		return 0, err
	}
	if m.Sized || m.hosts > 0 {
		return 0, ErrFraming
	}
	return len(head), nil
}
