package router_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
)

// wire is a connection to the router on which a test writes for itself.
type wire struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

func (w *world) wire(t *testing.T) *wire {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t, conn, bufio.NewReader(conn)}
}

func (w *wire) say(text string) {
	w.Helper()
	if _, err := io.WriteString(w.Conn, text); err != nil {
		w.Fatal(err)
	}
}

// hear an answer to a request of a method.
func (w *wire) hear(method string) (*http.Response, string) {
	w.Helper()
	resp, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		w.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	resp.Body.Close()
	return resp, string(body)
}

// ended tells whether the router has closed the connection.
func (w *wire) ended() bool {
	_, err := w.in.ReadByte()
	return err == io.EOF
}

func head(w *world, method string, more string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: shop\r\nAuthorization: " + bearer(w.customer(w.a)).Get("Authorization") + "\r\n" + more + "\r\n"
}

func TestRequestsFollowEachOtherOnOneConnection(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(echo)
	c := w.wire(t)
	c.say(head(w, "POST", "Content-Length: 3\r\n") + "one" + head(w, "POST", "Transfer-Encoding: chunked\r\n") + "3\r\ntwo\r\n0\r\n\r\n" + head(w, "POST", "Content-Length: 5\r\n") + "th")
	for _, want := range []string{"one", "two"} {
		if _, body := c.hear("POST"); body != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
	c.say("ree") // in pieces
	if _, body := c.hear("POST"); body != "three" {
		t.Errorf("got %q", body)
	}
	for _, piece := range strings.SplitAfter(head(w, "POST", "Content-Length: 0\r\n"), "e") {
		c.say(piece)
	}
	if resp, body := c.hear("POST"); resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

func TestAClientThatSaysMoreWhileItWaitsIsHeard(t *testing.T) {
	w := newWorld(t).run(t)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-release
		_, _ = io.WriteString(rw, "slow")
	})
	c := w.wire(t)
	c.say(head(w, "GET", ""))
	<-begun
	// While its client is watched, which is after a while, a request comes: the next. The deadline that it has is the sign
	// that the other one has been waited for.
	late := w.send(t, http.MethodGet, path, nil, with(bearer(w.customer(w.a)), "Connect-Timeout-Ms", "1"))
	if reason(t, late) != "DEADLINE_EXCEEDED" {
		t.Fatalf("got %+v", late)
	}
	<-begun
	c.say(head(w, "GET", ""))
	w.send(t, http.MethodGet, "/livez", nil, nil) // so that it has arrived, most probably
	close(release)
	for range 2 {
		if _, body := c.hear("GET"); body != "slow" {
			t.Errorf("got %q", body)
		}
	}
}

func TestAHeadHasALengthAndNoBody(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Length", "17") })
	c := w.wire(t)
	c.say(head(w, "HEAD", "") + head(w, "HEAD", ""))
	for range 2 {
		if resp, _ := c.hear("HEAD"); resp.ContentLength != 17 || resp.Close {
			t.Errorf("got %+v", resp)
		}
	}
}

func TestWhoeverWaitsToContinueIsToldTo(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(echo)
	c := w.wire(t)
	c.say(head(w, "POST", "Content-Length: 5\r\nExpect: 100-continue\r\n"))
	if resp, err := http.ReadResponse(c.in, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("got %v, %v", resp, err)
	}
	c.say("hello")
	if _, body := c.hear("POST"); body != "hello" {
		t.Errorf("got %q", body)
	}
	c.say(head(w, "POST", "Content-Length: 1048577\r\nExpect: 100-continue\r\n"))
	if resp, _ := c.hear("POST"); resp.StatusCode != http.StatusTooManyRequests || !resp.Close {
		t.Errorf("got %+v", resp)
	}
}

func TestWhoIsOldHearsNoChunks(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
		for _, piece := range []string{"one ", "two ", "three"} {
			_, _ = io.WriteString(rw, piece)
			rw.(http.Flusher).Flush()
		}
	})
	c := w.wire(t)
	c.say(strings.Replace(head(w, "GET", ""), "HTTP/1.1", "HTTP/1.0", 1))
	if resp, body := c.hear("GET"); body != "one two three" || len(resp.TransferEncoding) > 0 || !resp.Close {
		t.Errorf("got %q, coding %v", body, resp.TransferEncoding)
	}
	if !c.ended() {
		t.Error("the connection goes on")
	}
}

func TestALongAnswerArrivesWhole(t *testing.T) {
	w := newWorld(t).run(t)
	long := strings.Repeat("0123456789abcdef", 1<<17) // two mebibytes
	for _, sized := range []bool{true, false} {
		w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
			if sized {
				rw.Header().Set("Content-Length", "2097152")
			}
			_, _ = io.WriteString(rw, long)
		})
		if a := w.post(t, "{}", bearer(w.customer(w.a))); a.body != long {
			t.Errorf("sized %v: %d bytes, %v", sized, len(a.body), a.err)
		}
	}
}

func TestWhatIsMalformedIsAnsweredAndEnds(t *testing.T) {
	w := newWorld(t).run(t)
	for text, want := range map[string]int{
		"GET / HTTP/1.1\nHost: a\n\n":                     http.StatusBadRequest,
		"hello\r\n\r\n":                                   http.StatusBadRequest,
		"GET / HTTP/3.0\r\nHost: a\r\n\r\n":               http.StatusHTTPVersionNotSupported,
		"GET /" + strings.Repeat("x", 70<<10):             http.StatusRequestHeaderFieldsTooLarge,
		"PRI / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n":     0, // HTTP/2, and then not
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n": http.StatusExpectationFailed,
	} {
		c := w.wire(t)
		c.say(text)
		if want == 0 {
			if _, err := io.ReadAll(c.in); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%.40q: %v", text, err)
			}
			continue
		}
		if resp, _ := c.hear("GET"); resp.StatusCode != want || !resp.Close {
			t.Errorf("%.40q: got %d", text, resp.StatusCode)
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if !c.ended() {
			t.Errorf("%.40q: the connection goes on", text)
		}
	}
	if n := len(w.a.requests()); n != 0 {
		t.Errorf("the cell got %d", n)
	}
}

func TestWhileItDrainsClientsAreAskedToLeave(t *testing.T) {
	w := newWorld(t).run(t)
	c := w.wire(t)
	c.say(head(w, "GET", ""))
	if resp, _ := c.hear("GET"); resp.Close {
		t.Error("it is asked to leave too early")
	}
	w.router.SetDraining(true)
	c.say(head(w, "GET", ""))
	if resp, body := c.hear("GET"); body != "use1-a" || !resp.Close {
		t.Errorf("got %q, close %v", body, resp.Close)
	}
	if !c.ended() {
		t.Error("the connection goes on")
	}
}

func TestAtTheEndIdleClientsAreClosedAndOthersFinish(t *testing.T) {
	w := newWorld(t).run(t)
	begun, release := make(chan struct{}), make(chan struct{})
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(rw, "finished")
	})
	resting, busy := w.wire(t), w.wire(t)
	resting.say("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
	resting.hear("GET")
	busy.say(head(w, "GET", ""))
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- w.front.Shutdown(t.Context()) }()
	if !resting.ended() {
		t.Error("whoever rests is not closed")
	}
	close(release)
	if _, body := busy.hear("GET"); body != "finished" {
		t.Errorf("got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestADeadlineOfGRPCArrives(t *testing.T) {
	w := newWorld(t).run(t)
	transport := protocols()["gRPC"].transport
	defer transport.CloseIdleConnections()
	mux := http.NewServeMux()
	mux.Handle(cartv1connect.NewCartServiceHandler(cart{cell: "use1-a"}))
	w.a.on(mux.ServeHTTP)
	client := cartv1connect.NewCartServiceClient(&http.Client{Transport: transport}, w.front.URL, connect.WithGRPC())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", bearer(w.customer(w.a)).Get("Authorization"))
	if _, err := client.GetCart(ctx, &cartv1.GetCartRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := w.a.last(t).Header.Get("Grpc-Timeout"); !strings.HasSuffix(got, "m") || len(got) > 6 { // of 20,000 ms
		t.Errorf("got %q", got)
	}
}
