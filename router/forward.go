package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
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
	// dialTimeout bounds the wait for a cell that says nothing at all.
	dialTimeout = time.Second
)

// request as it is forwarded, perhaps more than once.
type request struct {
	in         *http.Request
	body       []byte
	header     http.Header
	streams    bool // the answer may never end
	grpc       bool
	repeatable bool
}

// read a request whole. No method of the platform streams upwards, so that every body is short; having it whole is what
// makes sending it again possible.
func read(in *http.Request) (*request, error) {
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
		grpc:       strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web"),
		repeatable: in.Method == http.MethodGet || in.Method == http.MethodHead || in.Header.Get("Idempotency-Key") != "",
	}
	r.streams = strings.HasPrefix(contentType, "application/connect+") || strings.HasPrefix(contentType, "application/grpc") ||
		strings.Contains(in.Header.Get("Accept"), "text/event-stream")
	return r, nil
}

// hopHeaders concern one connection only (RFC 9110, 7.6.1), or are the platform's own.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	redirectHeader, "Cellar-Peer",
}

const requestID = "X-Request-Id"

// forwardedHeader of a request: without what concerns the client's connection, with who it is from. What the client
// says of its own address is not believed.
func forwardedHeader(in *http.Request) http.Header {
	h := in.Header.Clone()
	dropHop(h)
	if strings.Contains(in.Header.Get("Te"), "trailers") {
		h.Set("Te", "trailers") // gRPC does not work without
	}
	host, _, err := net.SplitHostPort(in.RemoteAddr)
	if err == nil {
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

func validRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// deadline of a call: what its client gives, within reason. None for answers that may never end.
func (r *request) deadline() (time.Duration, bool) {
	ms, err := strconv.ParseInt(r.header.Get("Connect-Timeout-Ms"), 10, 64)
	switch {
	case err == nil && ms > 0 && time.Duration(ms)*time.Millisecond <= maxDeadline:
		return time.Duration(ms)*time.Millisecond + deadlineSlack, true
	case r.streams:
		return 0, false
	case err == nil:
		return maxDeadline + deadlineSlack, true
	default:
		return defaultDeadline + deadlineSlack, true
	}
}

// transports to cells: HTTP/1.1 for nearly everything, HTTP/2 where gRPC needs it.
type transports struct{ one, two *http.Transport }

func newTransports() transports {
	base := func() *http.Transport {
		return &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConns:        2048,
			MaxIdleConnsPerHost: 256, // the default of 2 would open a connection for almost every request
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // what the cell sends is passed on as it is
		}
	}
	t := transports{one: base(), two: base()}
	t.two.Protocols = new(http.Protocols)
	t.two.Protocols.SetUnencryptedHTTP2(true)
	return t
}

func (t transports) close() {
	t.one.CloseIdleConnections()
	t.two.CloseIdleConnections()
}

// send a request to a cell once.
func (t transports) send(ctx context.Context, r *request, cell *topology.Cell) (*http.Response, error) {
	url := *r.in.URL
	url.Scheme, url.Host = "http", cell.Public
	out := &http.Request{
		Method: r.in.Method, URL: &url, Header: r.header, Host: r.in.Host, ContentLength: int64(len(r.body)), Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(r.body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(r.body))
		// With it the transport itself sends again what an idle connection that had just been closed never took.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.body)), nil }
	}
	transport := t.one
	if r.grpc {
		transport = t.two
	}
	return transport.RoundTrip(out.WithContext(ctx))
}

// neverSent tells whether a request failed before anything of it left.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// copyBuffer is what an answer is passed on in.
const copyBuffer = 32 << 10

// answer passes a cell's answer on as it comes.
func answer(w http.ResponseWriter, resp *http.Response, streams bool) error {
	defer resp.Body.Close()
	h := w.Header()
	dropHop(resp.Header)
	for name, values := range resp.Header {
		h[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	streams = streams || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	var flusher http.Flusher
	if streams {
		flusher, _ = w.(http.Flusher)
	}
	if err := pass(w, resp.Body, flusher); err != nil {
		return err
	}
	for name, values := range resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	return nil
}

func pass(w io.Writer, body io.Reader, flusher http.Flusher) error {
	if flusher == nil {
		_, err := io.Copy(w, body)
		return err
	}
	flusher.Flush() // the headers: whoever waits for an event wants to know that it was heard
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			flusher.Flush()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
