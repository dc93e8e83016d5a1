package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
)

const (
	// dialTimeout bounds the wait for a machine that says nothing at all.
	dialTimeout = time.Second
	// headerTimeout bounds the wait for a cell's first word also where an answer may never end: one request to a cell
	// that hangs must not keep its breaker waiting for ever.
	headerTimeout = maxDeadline + deadlineSlack
	// maxResponseHeader bytes: as many as a request may have.
	maxResponseHeader = 64 << 10
	// copyBuffer is what a streamed answer is passed on in.
	copyBuffer = 32 << 10
)

// transports to cells: HTTP/1.1 for nearly everything, HTTP/2 where gRPC needs it.
type transports struct{ one, two *http.Transport }

func newTransports() transports {
	base := func() *http.Transport {
		return &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConns:           2048,
			MaxIdleConnsPerHost:    256, // the default of 2 would open a connection for almost every request
			IdleConnTimeout:        90 * time.Second,
			ResponseHeaderTimeout:  headerTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			DisableCompression:     true, // what the cell sends is passed on as it is
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
	in := r.in.URL
	out := &http.Request{
		Method: r.in.Method,
		URL:    &url.URL{Scheme: "http", Host: cell.Public, Path: in.Path, RawPath: in.RawPath, RawQuery: in.RawQuery, ForceQuery: in.ForceQuery},
		Header: r.header, Host: r.in.Host, ContentLength: int64(len(r.body)), Body: http.NoBody,
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

// countedBody leaves its node when the answer is through.
type countedBody struct {
	io.ReadCloser
	leave func()
}

// counted adds a request to a node's, until its answer's body is closed.
func counted(n *node, body io.ReadCloser) io.ReadCloser {
	return &countedBody{body, sync.OnceFunc(func() { n.inFlight.Add(-1) })}
}

// Close implements io.Closer.
func (b *countedBody) Close() error {
	b.leave()
	return b.ReadCloser.Close()
}

// answer passes a cell's answer on as it comes.
func answer(w http.ResponseWriter, resp *http.Response, streams bool) error {
	defer resp.Body.Close()
	h := w.Header()
	dropHop(resp.Header)
	for name, values := range resp.Header {
		h[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	var flusher http.Flusher
	if streams || mayStream(resp.Header.Get("Content-Type")) {
		flusher, _ = w.(http.Flusher)
	}
	if err := pass(w, resp.Body, flusher); err != nil {
		return err
	}
	dropHop(resp.Trailer)
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
