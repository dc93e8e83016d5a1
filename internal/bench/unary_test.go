package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
)

func TestCallsOverOneConnectionAreAnsweredWhateverTheirLength(t *testing.T) {
	conns := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		body, _ := io.ReadAll(r.Body)
		var req checkoutv1.PlaceOrderRequest
		if err := proto.Unmarshal(body, &req); err != nil || r.URL.Path != "/a/B" || r.Header.Get("Content-Type") != "application/proto" || r.Header.Get("Authorization") != "Bearer me" {
			t.Errorf("got %s %s %v, %v", r.Method, r.URL, r.Header, err)
		}
		if r.Header.Get("Idempotency-Key") == "no" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":"failed_precondition","message":"sold out"}`)
			return
		}
		n, _ := strconv.Atoi(req.GetQuoteToken())
		answer, _ := proto.Marshal(&checkoutv1.QuoteResponse{QuoteToken: strings.Repeat("x", n)})
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	u, err := dialUnary(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	for _, n := range []int{10, loadBuffer, 5*loadBuffer + 7, 0, 3} {
		var resp checkoutv1.QuoteResponse
		if err := u.call("/a/B", "me", "yes", &checkoutv1.PlaceOrderRequest{QuoteToken: strconv.Itoa(n)}, &resp); err != nil || len(resp.GetQuoteToken()) != n {
			t.Errorf("of %d bytes came %d, %v", n, len(resp.GetQuoteToken()), err)
		}
	}
	err = u.call("/a/B", "me", "no", &checkoutv1.PlaceOrderRequest{}, &checkoutv1.QuoteResponse{})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "sold out") {
		t.Errorf("a refusal came as %v", err)
	}
	if err := u.call("/a/B", "me", "yes", &checkoutv1.PlaceOrderRequest{QuoteToken: "2000000"}, &checkoutv1.QuoteResponse{}); err == nil {
		t.Error("an answer of two megabytes is taken")
	}
	if len(conns) != 1 {
		t.Errorf("over %d connections, want one", len(conns))
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: -4\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		status, length := parseHead(head)
		if length < -1 || status < -99 || status > 999 {
			t.Errorf("%q has status %d and length %d", head, status, length)
		}
		if length >= 0 && !strings.HasPrefix(string(head), "HTTP/1.1 ") {
			t.Errorf("%q is taken for an answer", head)
		}
	})
}
