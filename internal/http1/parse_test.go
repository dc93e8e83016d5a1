package http1_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/http1"
)

func TestWhatIsAmbiguousIsRefused(t *testing.T) {
	for head, want := range map[string]error{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                                              nil,
		"GET /a%2fb?q=%zz HTTP/1.1\r\nhOST:a:80\t\r\nX-Empty:\r\n\r\n":                                   nil,
		"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 007\r\n\r\n":                                      nil,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n":                               nil,
		"GET / HTTP/1.1\nHost: a\n\n":                                                                    http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n":                                                        http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n":                                                   http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n":                                                 http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n":                                                   http1.ErrMalformed,
		"GET / HTTP/1.1\r\n X: first\r\nHost: a\r\n\r\n":                                                 http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n":                                                     http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n":                                                       http1.ErrMalformed,
		"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n":                                                  http1.ErrMalformed,
		"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n":                                                          http1.ErrMalformed,
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n":                                                             http1.ErrMalformed,
		"GET / HTTP/1.1 \r\nHost: a\r\n\r\n":                                                             http1.ErrVersion,
		"GET / http/1.1\r\nHost: a\r\n\r\n":                                                              http1.ErrVersion,
		"GET / HTTP/1.2\r\nHost: a\r\n\r\n":                                                              http1.ErrVersion,
		"GET /\r\nHost: a\r\n\r\n":                                                                       http1.ErrVersion,
		"G@T / HTTP/1.1\r\nHost: a\r\n\r\n":                                                              http1.ErrMalformed,
		"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n":                                                         http1.ErrMalformed,
		"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n":                                                      http1.ErrMalformed,
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n":                                                          http1.ErrMalformed,
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n":                                                           http1.ErrMalformed,
		"GET /%a HTTP/1.1\r\nHost: a\r\n\r\n":                                                            http1.ErrMalformed,
		"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n":                                                            http1.ErrMalformed,
		"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n":                                                          http1.ErrMalformed,
		"GET / HTTP/1.1\r\n\r\n":                                                                         http1.ErrHost,
		"GET / HTTP/1.1\r\nHost:\r\n\r\n":                                                                http1.ErrHost,
		"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                                   http1.ErrHost,
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":                                                            http1.ErrHost,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n":                   http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n":                                     http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n":                                       http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n":                                      http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n":                                          http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n":                      http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n":          http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n":          http1.ErrFraming,
		"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n":                               http1.ErrFraming,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":                         http1.ErrCoding,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": http1.ErrCoding,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n":                           http1.ErrMalformed,
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n":                                            http1.ErrExpect,
		"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 257) + "\r\n":                       http1.ErrTooLong,
	} {
		var r http1.Request
		if err := http1.ParseRequest([]byte(head), &r); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%.120q: got %v, want %v", head, err, want)
		}
	}
}

func TestARequestsHeadIsRead(t *testing.T) {
	var r http1.Request
	head := "POST /a?b HTTP/1.1\r\nHost: shop\r\nConnection: X-Named, keep-alive\r\nX-Named: 1\r\nTE: trailers, gzip\r\nExpect: 100-Continue\r\n" +
		"Keep-Alive: 1\r\nContent-Length: 17\r\nX-Kept:  a\tb \r\n\r\n"
	if err := http1.ParseRequest([]byte(head), &r); err != nil {
		t.Fatal(err)
	}
	if string(r.Method) != "POST" || string(r.Target) != "/a?b" || string(r.Host) != "shop" || r.Length != 17 || !r.Continue || !r.Trailers || r.Close || r.Old {
		t.Errorf("got %+v", r)
	}
	var kept []string
	for _, f := range r.Fields {
		if !f.Hop {
			kept = append(kept, string(f.Name)+"="+string(f.Value))
		}
	}
	if len(kept) != 1 || kept[0] != "X-Kept=a\tb" {
		t.Errorf("kept %q", kept)
	}
	for head, closes := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                  false,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, Close\r\n\r\n": true,
		"GET / HTTP/1.0\r\nHost: a\r\n\r\n":                                  true,
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n":        true,
	} {
		if err := http1.ParseRequest([]byte(head), &r); err != nil || r.Close != closes {
			t.Errorf("%q: %v, closes %v", head, err, r.Close)
		}
	}
}

func TestAnAnswersHeadIsRead(t *testing.T) {
	for _, c := range []struct {
		head     string
		headOnly bool
		body     int64
		closes   bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 5, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 0, false},
		{"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false, http1.Chunked, false},
		{"HTTP/1.1 200 OK\r\n\r\n", false, http1.Unsized, true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, 5, true},
		{"HTTP/1.1 204 No Content\r\n\r\n", false, 0, false},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", false, 5, true},
	} {
		var r http1.Response
		if err := http1.ParseResponse([]byte(c.head), c.headOnly, &r); err != nil || r.Body != c.body || r.Close != c.closes {
			t.Errorf("%q: %v, body %d, closes %v", c.head, err, r.Body, r.Close)
		}
	}
	for _, head := range []string{"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 200 O\x01K\r\n\r\n", "nonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"} {
		var r http1.Response
		if err := http1.ParseResponse([]byte(head), false, &r); err == nil {
			t.Errorf("%q was accepted", head)
		}
	}
}

// A chunked body reads the same in whatever pieces it arrives.
func TestChunksDoNotDependOnHowTheyArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire, want strings.Builder
		for _, data := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 40)).Draw(t, "chunks") {
			want.Write(data)
			wire.WriteString(hex(len(data)) + "\r\n" + string(data) + "\r\n")
		}
		wire.WriteString("0\r\n")
		left, have, got := wire.String()+"\r\n", "", ""
		var chunks http1.Chunks
		for !chunks.Ended() {
			data, n, err := chunks.Next([]byte(have))
			if err != nil {
				t.Fatal(err)
			}
			got += string(data)
			have = have[n:]
			if n == 0 {
				take := rapid.IntRange(1, 9).Draw(t, "bytes")
				take = min(take, len(left))
				if take == 0 {
					t.Fatal("it wants more than there is")
				}
				have, left = have+left[:take], left[take:]
			}
		}
		if got != want.String() || have+left != "\r\n" {
			t.Fatalf("got %q, want %q; %q is left", got, want.String(), have+left)
		}
	})
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	return string(digits[n>>4]) + string(digits[n&15])
}

func TestChunksThatAreNot(t *testing.T) {
	for _, wire := range []string{"x\r\n", "\r\n", "5;a=b\r\n", " 5\r\n", "5 \r\n", "+5\r\n", "0x5\r\n", "5\n", "5\rx", "1\r\nab\r\n", "1\r\na\nb", "1234567890123456\r\n", "-1\r\n"} {
		var chunks http1.Chunks
		var err error
		for b := []byte(wire); err == nil; {
			var n int
			if _, n, err = chunks.Next(b); n == 0 && err == nil {
				t.Errorf("%q was accepted", wire)
				break
			}
			b = b[n:]
		}
	}
}

func TestTrailers(t *testing.T) {
	var m http1.Message
	if n, err := http1.Trailers([]byte("\r\nrest"), &m); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := http1.Trailers([]byte("X: y\r\n\r\nrest"), &m); n != 8 || err != nil || len(m.Fields) != 1 {
		t.Errorf("got %d, %v, %v", n, err, m.Fields)
	}
	if n, err := http1.Trailers([]byte("X: y\r\n"), &m); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for _, wire := range []string{"X: y\n\n", "Content-Length: 5\r\n\r\n", "Host: a\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
		if n, err := http1.Trailers([]byte(wire), &m); err == nil {
			t.Errorf("%q: %d was accepted", wire, n)
		}
	}
}

func TestParsingDoesNotAllocate(t *testing.T) {
	head := []byte("GET /a HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n")
	var r http1.Request
	if n := testing.AllocsPerRun(100, func() {
		if err := http1.ParseRequest(head, &r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
