package http1

import (
	"bytes"
	"net/http"
)

// MaxHead is how many bytes a message may have before its body.
const MaxHead = 64 << 10

// maxFields of a message: several times what browsers send.
const maxFields = 256

// Lengths of a body that no Content-Length gives.
const (
	Chunked int64 = -1
	// Unsized ends with its connection; answers only.
	Unsized int64 = -2
)

// Error is a message that is refused, with the status that says so.
type Error struct {
	Status int
	Why    string
}

// Error implements error.
func (e *Error) Error() string { return "http1: " + e.Why }

// What is refused.
var (
	ErrMalformed = &Error{http.StatusBadRequest, "the message is malformed"}
	ErrFraming   = &Error{http.StatusBadRequest, "the message's length is ambiguous"}
	ErrHost      = &Error{http.StatusBadRequest, "a request names one host"}
	ErrCoding    = &Error{http.StatusNotImplemented, "no transfer coding but chunked is known"}
	ErrVersion   = &Error{http.StatusHTTPVersionNotSupported, "the version is not HTTP/1.1"}
	ErrTooLong   = &Error{http.StatusRequestHeaderFieldsTooLarge, "the message's head is too long"}
	ErrExpect    = &Error{http.StatusExpectationFailed, "nothing but 100-continue may be expected"}
)

// Field of a message, in its buffer.
type Field struct {
	Name, Value []byte
	// Hop is true of what concerns one connection only (RFC 9110, 7.6.1), and is not to be passed on.
	Hop bool
}

// Is compares the name with one in lower case.
func (f *Field) Is(lower string) bool { return equal(f.Name, lower) }

// equal compares a token with one of lower-case letters and dashes.
func equal(token []byte, lower string) bool {
	if len(token) != len(lower) {
		return false
	}
	for i, c := range token {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// Message is what requests and answers have in common. Its fields are all but Host and those that frame it.
type Message struct {
	Fields []Field
	// Length of the body in bytes; or Chunked, or Unsized.
	Length int64
	// Sized tells whether the message itself says something about its length.
	Sized bool
	// Close tells that the connection ends with this message.
	Close bool

	host                []byte
	hosts               int
	keep                bool // "Connection: keep-alive"
	names               bool // Connection names fields
	continues, trailers bool
}

// Request head.
type Request struct {
	Message
	Method, Target, Host []byte
	// Old is true of HTTP/1.0, whose clients know no chunks.
	Old bool
	// Continue tells that the client waits for "100 Continue" before it sends the body.
	Continue bool
	// Trailers tells that the client takes trailers.
	Trailers bool
}

// ParseRequest reads a head, the blank line at its end included. An error is an *Error.
func ParseRequest(head []byte, r *Request) error {
	line, rest, ok := cutLine(head)
	if !ok {
		return ErrMalformed
	}
	method, after, _ := bytes.Cut(line, space)
	target, version, _ := bytes.Cut(after, space)
	if !all(method, &token) || !validTarget(target) || string(method) == http.MethodConnect {
		return ErrMalformed
	}
	r.Method, r.Target = method, target
	switch string(version) {
	case "HTTP/1.1":
		r.Old = false
	case "HTTP/1.0":
		r.Old = true
	default:
		return ErrVersion
	}
	if err := r.parse(rest); err != nil {
		return err
	}
	if r.hosts != 1 || !all(r.host, &hostByte) {
		return ErrHost
	}
	if r.Old {
		if r.Length == Chunked {
			return ErrFraming // HTTP/1.0 knows no chunks: whoever is between us may not either
		}
		r.Close = true // what "keep-alive" meant there was never written down
	}
	r.Host, r.Continue, r.Trailers = r.host, r.continues && !r.Old, r.trailers
	return nil
}

// Response head.
type Response struct {
	Message
	Status int
	// Line is the status and its reason.
	Line []byte
	// Body that follows, as Length: 0 for answers that have none, whatever they say.
	Body int64
}

// ParseResponse reads the head of an answer to a request, which asked for a head only or for all. An error is an *Error.
func ParseResponse(head []byte, headOnly bool, r *Response) error {
	line, rest, ok := cutLine(head)
	if !ok || len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return ErrMalformed
	}
	r.Line, r.Status = line[9:], 0
	for _, c := range r.Line[:3] {
		if c < '0' || c > '9' {
			return ErrMalformed
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 || len(r.Line) > 3 && (r.Line[3] != ' ' || !all(r.Line[3:], &text)) {
		return ErrMalformed
	}
	if err := r.parse(rest); err != nil {
		return err
	}
	if r.Body = r.Length; !r.Sized {
		r.Body = Unsized
	}
	if headOnly || r.Status < 200 || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		r.Body = 0
	}
	r.Close = r.Close || r.Body == Unsized || line[7] == '0' && !r.keep
	return nil
}

var (
	space   = []byte(" ")
	comma   = []byte(",")
	headEnd = []byte("\r\n\r\n")
)

// cutLine at its CR LF. A line feed alone, or a carriage return elsewhere, is no end of a line, and malformed.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	return b[:i-1], b[i+1:], true
}

// parse the fields, up to and with the blank line.
func (m *Message) parse(b []byte) error {
	*m = Message{Fields: m.Fields[:0]}
	for {
		line, rest, ok := cutLine(b)
		if !ok {
			return ErrMalformed
		}
		if len(line) == 0 {
			if len(rest) > 0 {
				return ErrMalformed
			}
			break
		}
		if len(m.Fields) == maxFields {
			return ErrTooLong
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !all(line[:colon], &token) { // a folded line begins with a space, which is no token's
			return ErrMalformed
		}
		f := Field{Name: line[:colon], Value: trim(line[colon+1:])}
		if len(f.Value) > 0 && !all(f.Value, &text) {
			return ErrMalformed
		}
		kept, err := m.take(&f)
		if err != nil {
			return err
		}
		if kept {
			m.Fields = append(m.Fields, f)
		}
		b = rest
	}
	if m.names {
		m.markNamed()
	}
	return nil
}

// take a field: what frames the message is read and not kept.
func (m *Message) take(f *Field) (kept bool, err error) {
	switch {
	case f.Is("host"):
		m.host, m.hosts = f.Value, m.hosts+1
		return false, nil
	case f.Is("content-length"):
		if m.Sized {
			return false, ErrFraming
		}
		m.Sized, m.Length = true, parseLength(f.Value)
		if m.Length < 0 {
			return false, ErrFraming
		}
		return false, nil
	case f.Is("transfer-encoding"):
		if m.Sized && m.Length != Chunked {
			return false, ErrFraming
		}
		if m.Sized || !equal(f.Value, "chunked") {
			return false, ErrCoding
		}
		m.Sized, m.Length = true, Chunked
		return false, nil
	case f.Is("connection"):
		f.Hop = true
		m.connection(f.Value)
	case f.Is("expect"):
		f.Hop = true // to be met here: whoever passes a body on has it
		if m.continues = equal(f.Value, "100-continue"); !m.continues {
			return false, ErrExpect
		}
	case f.Is("te"):
		f.Hop = true
		m.trailers = m.trailers || bytes.Contains(f.Value, []byte("trailers"))
	case f.Is("keep-alive"), f.Is("upgrade"), f.Is("trailer"), f.Is("proxy-connection"), f.Is("proxy-authenticate"), f.Is("proxy-authorization"):
		f.Hop = true
	}
	return true, nil
}

func (m *Message) connection(value []byte) {
	for value != nil {
		var option []byte
		if i := bytes.IndexByte(value, ','); i >= 0 {
			option, value = value[:i], value[i+1:]
		} else {
			option, value = value, nil
		}
		switch option = trim(option); {
		case equal(option, "close"):
			m.Close = true
		case equal(option, "keep-alive"):
			m.keep = true
		case len(option) > 0:
			m.names = true
		}
	}
}

// markNamed marks the fields that Connection names.
func (m *Message) markNamed() {
	for i := range m.Fields {
		if !m.Fields[i].Is("connection") {
			continue
		}
		for _, option := range bytes.Split(m.Fields[i].Value, comma) {
			for j := range m.Fields {
				m.Fields[j].Hop = m.Fields[j].Hop || bytes.EqualFold(m.Fields[j].Name, trim(option))
			}
		}
	}
}

// parseLength of digits only; -1 for anything else.
func parseLength(b []byte) int64 {
	if len(b) == 0 || len(b) > 18 {
		return -1
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
