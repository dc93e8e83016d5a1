package router

import (
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// maxBody of a request: what cells take.
	maxBody = 1 << 20
	// defaultDeadline and maxDeadline of a call that gives none, or one beyond reason.
	defaultDeadline = 10 * time.Second
	maxDeadline     = 30 * time.Second
	// deadlineSlack lets the cell's own "too late" arrive.
	deadlineSlack = 500 * time.Millisecond
)

const (
	requestID     = "X-Request-Id"
	timeoutHeader = "Connect-Timeout-Ms"
)

// request as it is forwarded, perhaps more than once.
type request struct {
	in      *http.Request
	body    []byte
	header  http.Header
	grpc    bool          // it needs HTTP/2, and its errors are in the trailers
	streams bool          // the answer may never end
	timeout time.Duration // until the answer is to be through; 0 for none
	asked   bool          // the client said so itself
}

// read a request whole. No method of the platform streams upwards, so that every body is short; having it whole is what
// makes sending it again possible.
func read(in *http.Request) (*request, error) {
	if in.ContentLength > maxBody {
		return nil, errBodyTooLong // before a byte of it is taken
	}
	body, err := io.ReadAll(io.LimitReader(in.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, errBodyTooLong
	}
	contentType := in.Header.Get("Content-Type")
	r := &request{
		in: in, body: body, header: forwardedHeader(in),
		grpc:    strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web"),
		streams: mayStream(contentType) || strings.Contains(in.Header.Get("Accept"), "text/event-stream"),
	}
	r.timeout, r.asked = timeoutOf(in.Header.Get(timeoutHeader), r.streams)
	return r, nil
}

// mayStream tells whether bodies of a type may arrive in pieces that are to be passed on as they come.
func mayStream(contentType string) bool {
	return strings.HasPrefix(contentType, "application/connect+") || strings.HasPrefix(contentType, "application/grpc") ||
		strings.HasPrefix(contentType, "text/event-stream")
}

// timeoutOf a call: what its client gives, within reason. None for answers that may never end, unless a client says so.
func timeoutOf(header string, streams bool) (timeout time.Duration, asked bool) {
	ms, err := strconv.ParseInt(header, 10, 64)
	switch {
	case err == nil && ms > 0 && ms <= maxDeadline.Milliseconds():
		return time.Duration(ms) * time.Millisecond, true
	case streams:
		return 0, false
	case err == nil && ms > 0:
		return maxDeadline, true
	default:
		return defaultDeadline, false // a malformed one is for the cell to refuse
	}
}

// left tells the cell how much of the client's time is left, of which the router may have used some.
func (r *request) left(used time.Duration) {
	if !r.asked {
		return
	}
	r.header = r.header.Clone() // the last try's transport may still be reading the old one
	r.header.Set(timeoutHeader, strconv.FormatInt(max(1, (r.timeout-used).Milliseconds()), 10))
}

// hopHeaders concern one connection only (RFC 9110, 7.6.1), or are between parts of the platform.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	redirectHeader, "Cellar-Peer",
}

// claims that a client makes of its own address are not believed.
var claims = []string{"Forwarded", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// replayHeaders make net/http's transport send a request again by itself after a connection has broken, also when a
// cell may have acted on it. It does not see them in lower case; cells do.
var replayHeaders = []string{"Idempotency-Key", "X-Idempotency-Key"}

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
	if in.TLS != nil {
		h.Set("X-Forwarded-Proto", "https")
	}
	if id := h.Get(requestID); !validRequestID(id) {
		h.Set(requestID, ident.NewToken())
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

// validRequestID bounds what clients can put into our logs.
func validRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}
