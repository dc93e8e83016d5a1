package router

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/http1"
)

// script is a connection that says something and takes everything.
type script struct {
	net.Conn
	say io.Reader
}

func (s *script) Read(p []byte) (int, error)       { return s.say.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// forwarded gives what a cell would be sent for the first request that a client says, and what the router leaves for the
// next; nil if it refuses.
func forwarded(r *Router, say io.Reader) (sent, rest []byte) {
	s := &shopper{Client: http1.NewClient(&script{say: say}), router: r}
	if !s.Next() || s.ReadBody(maxBody) != nil {
		return nil, nil
	}
	var t trip
	s.describe(&t)
	sent = s.appendRequest(nil, 0)
	if len(s.Body) > inOneWrite {
		sent = append(sent, s.Body...)
	}
	return sent, s.Rest()
}

// comparable headers: an id is drawn for each request, and net/http's own path hides some names from its transport.
func comparable(h http.Header) http.Header {
	h = h.Clone()
	h.Del("Content-Length")
	for name, values := range h {
		if canonical := http.CanonicalHeaderKey(name); canonical != name {
			delete(h, name)
			h[canonical] = values
		}
	}
	h.Del(requestID)
	if reflect.DeepEqual(h["Pragma"], []string{"no-cache"}) && reflect.DeepEqual(h["Cache-Control"], []string{"no-cache"}) {
		h.Del("Cache-Control") // net/http adds it
	}
	return h
}

// Whatever the router accepts, net/http reads as the same request, and reads what the router passes on as that one again:
// one, with nothing behind it. The rules for headers are those of the path for HTTP/2.
func checkForwarded(t *testing.T, r *Router, wire []byte) {
	t.Helper()
	sent, left := forwarded(r, bytes.NewReader(wire))
	if sent == nil {
		return
	}
	if again, _ := forwarded(r, slowly{bytes.NewReader(wire)}); again == nil {
		t.Fatalf("%q is accepted, and refused when it comes byte by byte", wire)
	}
	said := bufio.NewReader(bytes.NewReader(wire))
	want, err := http.ReadRequest(said)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", wire, err)
	}
	wantBody, err := io.ReadAll(want.Body)
	if err != nil {
		t.Fatalf("net/http refuses the body of %q: %v", wire, err)
	}
	if rest, _ := io.ReadAll(said); !bytes.HasPrefix(rest, left) { // the router may not have read on
		t.Fatalf("of %q the router leaves %q, net/http %q", wire, left, rest)
	}
	heard := bufio.NewReader(bytes.NewReader(sent))
	got, err := http.ReadRequest(heard)
	if err != nil {
		t.Fatalf("the cell refuses %q: %v", sent, err)
	}
	gotBody, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatalf("the cell refuses the body of %q: %v", sent, err)
	}
	if rest, _ := io.ReadAll(heard); len(rest) > 0 {
		t.Fatalf("behind the request is %q", rest)
	}
	if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || !bytes.Equal(gotBody, wantBody) {
		t.Fatalf("the cell reads %s %s of %s with %q; want %s %s of %s with %q", got.Method, got.RequestURI, got.Host, gotBody, want.Method, want.RequestURI, want.Host, wantBody)
	}
	if len(got.TransferEncoding) > 0 || got.ContentLength != int64(len(gotBody)) {
		t.Fatalf("length %d, coding %v, of %d bytes", got.ContentLength, got.TransferEncoding, len(gotBody))
	}
	want.RemoteAddr = "127.0.0.1:1"
	if g, w := comparable(got.Header), comparable(forwardedHeader(want)); !reflect.DeepEqual(g, w) {
		t.Fatalf("the cell reads %q, want %q", g, w)
	}
	if id := got.Header[requestID]; len(id) != 1 || !validRequestID(id[0]) {
		t.Fatalf("id %q", id)
	}
}

// slowly gives a byte at a time.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:1]) }

func smuggler(t testing.TB) *Router {
	t.Helper()
	return New(Deps{Region: "us-east-1", Maps: testTable(t).maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
}

var seeds = []string{
	"GET /a?b=c HTTP/1.1\r\nHost: shop\r\nCookie: a=b\r\nPragma: no-cache\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nX-Request-Id: kept\r\n\r\nhelloGET / HTTP/1.1\r\n",
	"POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nIdempotency-Key: k\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nPOST /b HTTP/1.1\r\n\r\n",
	"PUT /%41 HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close, X-A\r\nX-A: b\r\nTE: trailers\r\nX-Forwarded-For: 6.6.6.6\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	"HEAD / HTTP/1.0\r\nHost: shop\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
	"GET / HTTP/1.1\nHost: shop\n\n",
	"GET /a HTTP/1.1\r\nHost: shop\r\nContent-Length : 5\r\n\r\nhello",
	"GET /a HTTP/1.1\r\nHost: shop\r\nX: a\r\n b\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nContent-Length: 0\r\nTrailer: Host\r\n\r\nhello",
	"GET //evil/a;b HTTP/1.1\r\nHost: shop\r\nCellar-Peer: x\r\nCellar-Wrong-Cell: owner=a\r\nForwarded: for=x\r\nProxy-Connection: close\r\n\r\n",
}

func TestWhatIsPassedOnIsTheSameRequest(t *testing.T) {
	r := smuggler(t)
	accepted := 0
	for _, seed := range seeds {
		checkForwarded(t, r, []byte(seed))
		if sent, _ := forwarded(r, strings.NewReader(seed)); sent != nil {
			accepted++
		}
	}
	if accepted != 6 {
		t.Errorf("%d of the seeds are accepted", accepted)
	}
}

func FuzzForwarded(f *testing.F) {
	r := smuggler(f)
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) { checkForwarded(t, r, wire) })
}
