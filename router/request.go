package router

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxBody of a request: what cells take.
	maxBody = 1 << 20
	// maxBodies is how many bytes of bodies that did not arrive with their heads are in memory at once.
	maxBodies = 512 << 20
	// defaultDeadline and maxDeadline of a call that gives none, or one beyond reason.
	defaultDeadline = 10 * time.Second
	maxDeadline     = 30 * time.Second
	// deadlineSlack lets the cell's own "too late" arrive.
	deadlineSlack = 500 * time.Millisecond
	// dialTimeout bounds the wait for a machine that says nothing at all.
	dialTimeout = time.Second
)

var dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}

const (
	requestID     = "X-Request-Id"
	timeoutHeader = "Connect-Timeout-Ms"
	grpcTimeout   = "Grpc-Timeout"
	keyHeader     = "Idempotency-Key"
	keyField      = "key="
)

// repeat tells when a request may be sent again.
func (r *Router) repeat(method, path string) Repeat {
	if method == http.MethodGet || method == http.MethodHead {
		return Freely
	}
	return r.deps.Methods[path]
}

// keyed tells whether a request has a key where its method looks for one.
func (way Repeat) keyed(inHeader bool, query string) bool {
	switch way {
	case WithKey:
		return inHeader
	case WithKeyInQuery:
		return hasKey(query)
	default:
		return false
	}
}

func hasKey(query string) bool {
	for field := range strings.SplitSeq(query, "&") {
		if value, is := strings.CutPrefix(field, keyField); is && value != "" {
			return true
		}
	}
	return false
}

// mayStream tells whether bodies of a type may arrive in pieces that are to be passed on as they come.
func mayStream(contentType string) bool {
	return strings.HasPrefix(contentType, "application/connect+") || strings.HasPrefix(contentType, "application/grpc") ||
		strings.HasPrefix(contentType, "text/event-stream")
}

func acceptsStream(accept string) bool { return strings.Contains(accept, "text/event-stream") }

// timeoutOf a call: what its client gives, within reason. None for answers that may never end, unless a client says so.
func timeoutOf(header string, streams bool) (timeout time.Duration, asked bool) {
	if header == "" { // nearly always
		return within(0, streams)
	}
	ms, err := strconv.ParseInt(header, 10, 64)
	if err != nil || ms <= 0 {
		return within(0, streams) // a malformed one is for the cell to refuse
	}
	return within(time.Duration(min(ms, int64(time.Hour/time.Millisecond)))*time.Millisecond, streams)
}

// grpcTimeoutOf a call, as gRPC writes it: up to eight digits and a unit.
func grpcTimeoutOf(header string) (timeout time.Duration, asked bool) {
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	if len(header) < 2 || len(header) > 9 {
		return within(0, true)
	}
	n, err := strconv.ParseUint(header[:len(header)-1], 10, 32)
	unit := units[header[len(header)-1]]
	if err != nil || n == 0 || unit == 0 {
		return within(0, true)
	}
	return within(time.Duration(min(n, uint64(time.Hour/unit)))*unit, true)
}

// within reason is a timeout, or none.
func within(given time.Duration, streams bool) (timeout time.Duration, asked bool) {
	switch {
	case given > 0 && given <= maxDeadline:
		return given, true
	case streams:
		return 0, false
	case given > 0:
		return maxDeadline, true
	default:
		return defaultDeadline, false
	}
}

// firstWord of a cell has to come within this time, also where an answer may never end: a request to a cell that hangs must
// not keep its breaker waiting for ever.
func firstWord(timeout time.Duration) time.Duration {
	if timeout == 0 {
		timeout = maxDeadline
	}
	return timeout + deadlineSlack
}

// validRequestID bounds what clients can put into our logs.
func validRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// appendRequestID that no other request has: 120 bits. It is no secret, so that the fast generator is good enough.
func appendRequestID(b []byte) []byte {
	const digits, bits = "0123456789abcdefghjkmnpqrstvwxyz", 5
	for range 2 {
		n := rand.Uint64()
		for range 60 / bits {
			b = append(b, digits[n%(1<<bits)])
			n >>= bits
		}
	}
	return b
}
