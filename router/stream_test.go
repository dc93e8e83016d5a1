package router_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// open a request whose answer is read as it comes.
func (w *world) open(t *testing.T, id ident.CustomerID, contentType string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.front.URL+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = with(bearer(id), "Content-Type", contentType)
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestStreamsArePassedOnAsTheyCome(t *testing.T) {
	for _, c := range []struct{ request, response string }{
		{"application/connect+json", "application/connect+json"},
		{"application/grpc-web+proto", "application/grpc-web+proto"},
		{"application/json", "text/event-stream"},
	} {
		t.Run(c.request, func(t *testing.T) {
			w := newWorld(t).run(t)
			pieces := make(chan string)
			w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", c.response)
				rw.Header().Set("Trailer", "X-After")
				rw.(http.Flusher).Flush()
				for p := range pieces {
					_, _ = io.WriteString(rw, p)
					rw.(http.Flusher).Flush()
				}
				rw.Header().Set("X-After", "end")
			})
			resp := w.open(t, w.customer(w.a), c.request) // the headers come before any piece
			for _, p := range []string{"one", "two", "three"} {
				pieces <- p
				got := make([]byte, len(p))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != p {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			close(pieces)
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
				t.Errorf("got %q, %v", rest, err)
			}
			if got := resp.Trailer.Get("X-After"); got != "end" {
				t.Errorf("the trailer is %q", got)
			}
		})
	}
}

func TestAnAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "half")
		rw.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp := w.open(t, w.customer(w.a), "application/connect+json")
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", b, err)
	}
	eventually(t, "it is observed", func() bool { results, _ := w.observed(); return len(results) == 1 && results[0] == "use1-a cut" })
	if !strings.Contains(w.logs.String(), "cut short") {
		t.Error("the log does not say so")
	}
}

func TestAnAnswerThatIsTooSlowDoesNotLookWhole(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "half")
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	a := w.post(t, "{}", with(bearer(w.customer(w.a)), "Connect-Timeout-Ms", "1"))
	if a.err == nil {
		t.Errorf("got %+v", a)
	}
}

func TestAStreamEndsWithItsClient(t *testing.T) {
	w := newWorld(t).run(t)
	told := make(chan struct{})
	w.a.on(func(rw http.ResponseWriter, r *http.Request) {
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
		close(told)
	})
	resp := w.open(t, w.customer(w.a), "application/connect+json")
	resp.Body.Close()
	<-told
}

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("world", func(t *testing.T) {
		w := newWorld(t).run(t)
		w.a.on(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		for range 4 { // one more and it were ejected, and its customers waited
			w.post(t, "{}", bearer(w.customer(w.a)))
			w.post(t, "{}", bearer(w.customer(w.b)))
		}
		w.round(t)
	})
	eventually(t, "all goroutines have ended", func() bool {
		runtime.Gosched()
		return runtime.NumGoroutine() <= before
	})
}
