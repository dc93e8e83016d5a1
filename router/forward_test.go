package router_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/cells/topology"
)

func noChange(*topology.Map) {}

// reason of a Connect error.
func reason(t *testing.T, a answer) string {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	var wire struct {
		Code    string
		Details []struct{ Type, Value string }
	}
	if err := json.Unmarshal([]byte(a.body), &wire); err != nil {
		t.Fatalf("no Connect error: %+v", a)
	}
	for _, d := range wire.Details {
		if d.Type != "google.rpc.ErrorInfo" {
			continue
		}
		b, err := base64.RawStdEncoding.DecodeString(d.Value)
		var info errdetails.ErrorInfo
		if err != nil || proto.Unmarshal(b, &info) != nil {
			t.Fatalf("no ErrorInfo: %q", d.Value)
		}
		return info.GetReason()
	}
	return ""
}

func TestWhatConcernsOneConnectionStaysThere(t *testing.T) {
	w := newWorld(t).run(t)
	w.b.on(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Connection", "X-Cell-Hop")
		rw.Header().Set("X-Cell-Hop", "1")
		rw.Header().Set("Keep-Alive", "timeout=5")
		rw.Header()["X-Two"] = []string{"a", "b"}
		rw.WriteHeader(http.StatusTeapot)
	})
	a := w.send(t, http.MethodPut, "/a%2Fb/c?q=1&r=%20", strings.NewReader("body"), http.Header{
		"Authorization": bearer(w.customer(w.b))["Authorization"], "Connection": {"X-Hop, keep-alive"}, "X-Hop": {"1"}, "Keep-Alive": {"1"},
		"Te": {"trailers, deflate"}, "Proxy-Authorization": {"Basic x"}, "Cellar-Wrong-Cell": {"owner=x"}, "Cellar-Peer": {"key"},
		"X-Forwarded-For": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}, "X-Kept": {"1", "2"},
		"Expect": {"100-continue"}, "Accept-Encoding": {"br"},
	})
	if a.status != http.StatusTeapot || a.header.Get("X-Cell-Hop")+a.header.Get("Keep-Alive") != "" || len(a.header["X-Two"]) != 2 {
		t.Errorf("got %+v", a)
	}
	r := w.b.last(t)
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authorization", "Cellar-Wrong-Cell", "Cellar-Peer", "Forwarded", "X-Real-Ip", "Expect"} {
		if v, has := r.Header[name]; has {
			t.Errorf("%s: %q", name, v)
		}
	}
	for name, want := range map[string]string{"Te": "trailers", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Kept": "1", "Accept-Encoding": "br",
		"X-Forwarded-Host": strings.TrimPrefix(w.front.URL, "http://")} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if body, err := io.ReadAll(r.Body); string(body) != "body" || err != nil || r.RequestURI != "/a%2Fb/c?q=1&r=%20" || r.Method != http.MethodPut {
		t.Errorf("%s %s, body %q, %v", r.Method, r.RequestURI, body, err)
	}
}

func TestARequestHasAnId(t *testing.T) {
	w := newWorld(t).run(t)
	header := bearer(w.customer(w.a))
	for _, c := range []struct {
		given string
		kept  bool
	}{{"", false}, {"abc-DEF_9", true}, {strings.Repeat("x", 65), false}, {"a b", false}} {
		w.post(t, "{}", with(header, "X-Request-Id", c.given))
		if got := w.a.last(t).Header.Get("X-Request-Id"); (got == c.given) != c.kept || len(got) == 0 || len(got) > 64 {
			t.Errorf("%q became %q", c.given, got)
		}
	}
}

func TestABodyHasALimit(t *testing.T) {
	w := newWorld(t).run(t)
	header := bearer(w.customer(w.a))
	w.a.on(echo)
	whole := strings.Repeat("x", 1<<20)
	if a := w.post(t, whole, header); a.body != whole {
		t.Errorf("a mebibyte: %d, %d bytes", a.status, len(a.body))
	}
	for name, body := range map[string]io.Reader{
		"announced": strings.NewReader(whole + "x"),
		"chunked":   io.MultiReader(strings.NewReader(whole), strings.NewReader("x")),
	} {
		before := len(w.a.requests())
		a := w.send(t, http.MethodPost, path, body, header)
		if a.status != http.StatusTooManyRequests || reason(t, a) != "BODY_TOO_LARGE" || a.header.Get("Retry-After") != "" {
			t.Errorf("%s: %d %v %.200s", name, a.status, a.err, a.body)
		}
		if len(w.a.requests()) != before {
			t.Errorf("%s: the cell was asked", name)
		}
	}
}

func TestNothingIsSmuggledThrough(t *testing.T) {
	w := newWorld(t).run(t)
	authorization := bearer(w.customer(w.a)).Get("Authorization")
	const inner = "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		name, headers, body string
		status              int
		arrives             string
	}{
		{"two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n", "ab", http.StatusBadRequest, ""},
		{"a negative length", "Content-Length: -1\r\n", "", http.StatusBadRequest, ""},
		{"an unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", http.StatusNotImplemented, ""},
		{"two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", http.StatusNotImplemented, ""},
		{"a bad chunk", "Transfer-Encoding: chunked\r\n", "zz\r\nab\r\n", http.StatusBadRequest, ""},
		{"a header that is folded into a name", "X-A : b\r\n", "", http.StatusBadRequest, ""},
		{"a length beside chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n" + inner, http.StatusBadRequest, ""},
		{"chunks beside a length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "5\r\nhello\r\n0\r\n\r\n" + inner, http.StatusBadRequest, ""},
		{"one length twice", "Content-Length: 2\r\nContent-Length: 2\r\n", "ab", http.StatusBadRequest, ""},
		{"a length with a sign", "Content-Length: +2\r\n", "ab", http.StatusBadRequest, ""},
		{"a list of lengths", "Content-Length: 2, 2\r\n", "ab", http.StatusBadRequest, ""},
		{"a line feed alone", "X-A: b\nContent-Length: 5\r\n", "hello", http.StatusBadRequest, ""},
		{"a folded line", "X-A: b\r\n  c\r\n", "", http.StatusBadRequest, ""},
		{"a second host", "Host: y\r\n", "", http.StatusBadRequest, ""},
		{"an extension of a chunk", "Transfer-Encoding: chunked\r\n", "1;x\r\na\r\n0\r\n\r\n", http.StatusBadRequest, ""},
		{"a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n", http.StatusBadRequest, ""},
		{"a trailer", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nX-A: b\r\n\r\n", http.StatusBadRequest, ""},
		{"chunks", "Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n", http.StatusOK, "hello"},
		{"a length", "Content-Length: 5\r\n", "hello", http.StatusOK, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(w.a.requests())
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.front.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n%s\r\n%s", path, authorization, c.headers, c.body); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			arrived := w.a.requests()[before:]
			if c.arrives == "" {
				if len(arrived) != 0 {
					t.Errorf("the cell got %d requests", len(arrived))
				}
				return
			}
			if len(arrived) != 1 {
				t.Fatalf("the cell got %d requests", len(arrived))
			}
			body, _ := io.ReadAll(arrived[0].Body)
			if string(body) != c.arrives || arrived[0].ContentLength != int64(len(c.arrives)) || len(arrived[0].TransferEncoding) != 0 {
				t.Errorf("the cell got %q of length %d, coding %v", body, arrived[0].ContentLength, arrived[0].TransferEncoding)
			}
		})
	}
}
