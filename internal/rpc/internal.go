package rpc

import (
	"crypto/subtle"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// PeerHeader carries the secret that the platform's own processes share.
const PeerHeader = "Cellar-Peer"

// Internal guards the listener for other cells and operators: only callers with the platform's key pass; nobody does
// when there is no key.
func Internal(key string, next http.Handler) http.Handler {
	ew := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get(PeerHeader)), []byte(key)) != 1 {
			writeError(ew, w, r, problem.New(problem.Unauthenticated, "NOT_A_PEER", "this listener is for the platform's own processes"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		next.ServeHTTP(w, r)
	})
}

// Transport for calls between our own processes.
func Transport() *http.Transport {
	return &http.Transport{
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 128, // the default of 2 would open a connection for almost every call
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		// A process that is gone refuses at once; one whose machine is gone says nothing.
		DialContext: (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
	}
}

// Peer is an HTTP client for the internal listeners of other cells: it shows the platform's key. Base takes the
// requests there; nil is a Transport.
func Peer(key string, base http.RoundTripper) *http.Client {
	if base == nil {
		base = Transport()
	}
	return &http.Client{Transport: peerTransport{key: key, base: base}}
}

type peerTransport struct {
	key  string
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t peerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(PeerHeader, t.key)
	return t.base.RoundTrip(r)
}

// ClientOptions of clients of our own processes: nothing compressed, a bound on answers.
func ClientOptions() []connect.ClientOption {
	return []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(8 << 20)}
}
