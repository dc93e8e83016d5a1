package router_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// versions runs a test with clients of both versions of HTTP.
func versions(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t).run(t)
			if version == "HTTP/2" {
				two := new(http.Protocols)
				two.SetUnencryptedHTTP2(true)
				transport := &http.Transport{Protocols: two}
				t.Cleanup(transport.CloseIdleConnections)
				w.client.Transport = transport
			}
			test(t, w)
		})
	}
}

func keyed(id ident.CustomerID) http.Header { return with(bearer(id), "Idempotency-Key", "k1") }

func TestALostAnswerIsAskedForAgainWhereNothingIsDoneTwice(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		w.change(t, func(m *topology.Map) { m.Cells[1].State = topology.Draining }) // so that a has the strangers
		id := w.customer(w.a)
		for _, c := range []struct {
			name, path string
			header     http.Header
			again      bool
		}{
			{"a key", order, keyed(id), true},
			{"the same again", put, bearer(id), true},
			{"a form's key", form + "?a=1&key=k1", bearer(id), true},
			{"no key", order, bearer(id), false},
			{"a form without one", form + "?key=", bearer(id), false},
			{"a form's key where a header is looked for", order + "?key=k1", bearer(id), false},
			{"a key that counts for no customer", order, with(nil, "Idempotency-Key", "k1"), false},
			{"a form's key that counts for no customer", form + "?key=k1", nil, false},
			{"a method that knows no keys", path, keyed(id), false},
		} {
			w.a.breaksOff(1)
			before := len(w.a.requests())
			a := w.send(t, http.MethodPost, c.path, strings.NewReader("the order"), c.header)
			all := w.a.requests()[before:]
			if !c.again {
				if len(all) != 1 || reason(t, a) != "ANSWER_LOST" {
					t.Errorf("%s: sent %d times, %+v", c.name, len(all), a)
				}
				w.post(t, "{}", bearer(id)) // an answer, so that nobody is ejected
				continue
			}
			if len(all) != 2 || a.body != "use1-a" {
				t.Fatalf("%s: sent %d times, %+v", c.name, len(all), a)
			}
			for _, r := range all {
				if body, err := io.ReadAll(r.Body); string(body) != "the order" || err != nil || r.Header.Get("Idempotency-Key") != c.header.Get("Idempotency-Key") {
					t.Errorf("%s: the cell got %q, %v, %v", c.name, body, err, r.Header)
				}
			}
		}
	})
}

func TestAnAnswerThatHasBegunIsNotAskedForAgain(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		w.a.on(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "x")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		if a := w.send(t, http.MethodPost, order, strings.NewReader("{}"), keyed(w.customer(w.a))); a.err == nil {
			t.Errorf("got %+v", a)
		}
		if n := len(w.a.requests()); n != 1 {
			t.Errorf("it was sent %d times", n)
		}
	})
}

// dies with the first request in its hands: nobody listens there any more.
func dies(t *testing.T) (address string, dead <-chan struct{}) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		if start, _ := r.Peek(3); string(start) == "PRI" { // HTTP/2: its settings, and whatever follows
			_, _ = io.WriteString(conn, "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			_, _ = io.ReadFull(r, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")+300))
		} else if in, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, in.Body)
		}
		_ = ln.Close()
		_ = conn.Close()
	}()
	return ln.Addr().String(), gone
}

// long enough that a cell of HTTP/2 which reads 300 bytes of frames has its head.
var long = strings.Repeat("the order ", 100)

func (w *world) kill(t *testing.T, id ident.CustomerID, timeout string) <-chan answer {
	t.Helper()
	address, dead := dies(t)
	w.change(t, func(m *topology.Map) { m.Cells[0].Public = address })
	header := keyed(id)
	if timeout != "" {
		header.Set("Connect-Timeout-Ms", timeout)
	}
	answers := make(chan answer, 1)
	go func() { answers <- w.send(t, http.MethodPost, order, strings.NewReader(long), header) }()
	<-dead
	return answers
}

func TestWhatADeadCellHadInItsHandsIsTakenToTheNextOwner(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		id := w.customer(w.a)
		answers := w.kill(t, id, "")
		for range 80 { // for two seconds nobody has the slot
			w.asleep(t, 2)
			w.clock.Advance(25 * time.Millisecond)
		}
		w.asleep(t, 2)
		w.give(t, id, w.b, 2)
		w.clock.Advance(25 * time.Millisecond)
		if a := <-answers; a.body != "use1-b" {
			t.Fatalf("got %+v", a)
		}
		r := w.b.last(t)
		body, err := io.ReadAll(r.Body)
		if string(body) != long || err != nil || r.Header.Get("Idempotency-Key") != "k1" {
			t.Errorf("the next owner got %q, %v, %v", body, err, r.Header)
		}
		// The client gave no deadline, and the router's own has gone on.
		if left, err := strconv.Atoi(r.Header.Get("Connect-Timeout-Ms")); err != nil || left > 8000 || left < 7000 {
			t.Errorf("it has %d ms left, %v", left, err)
		}
	})
}

func TestWhatMayHaveTakenEffectIsNeverSaidToBeUndone(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		begun := w.clock.Now()
		if a := w.pass(w.kill(t, w.customer(w.a), "")); reason(t, a) != "ANSWER_LOST" {
			t.Errorf("got %+v", a)
		}
		if waited := w.clock.Now().Sub(begun); waited < 5*time.Second {
			t.Errorf("it waited %v", waited)
		}
	})
}

// The clock stands still: it is the client's deadline that ends the wait.
func TestALostCallWaitsNoLongerThanItsDeadline(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		if a := <-w.kill(t, w.customer(w.a), "100"); reason(t, a) != "ANSWER_LOST" {
			t.Errorf("got %+v", a)
		}
	})
}

func TestADyingCellMayLoseACallMoreThanOnce(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		id := w.customer(w.a)
		for losses := range int64(5) {
			w.a.breaksOff(losses)
			before := len(w.a.requests())
			a := w.sendThrough(t, int(max(0, min(losses, 3)-1)), http.MethodPost, order, keyed(id))
			if sent := int64(len(w.a.requests()) - before); sent != min(losses+1, 4) || (a.status == http.StatusOK) != (losses < 4) {
				t.Errorf("lost %d times: sent %d times, %+v", losses, sent, a)
			}
			w.post(t, "{}", bearer(id)) // an answer, so that nobody is ejected
		}
	})
}

// It may be the request that they die of.
func TestACallThatTwoCellsHaveLostGoesToNoThird(t *testing.T) {
	versions(t, func(t *testing.T, w *world) {
		id := w.customer(w.a)
		w.a.on(func(http.ResponseWriter, *http.Request) {
			w.give(t, id, w.b, 2)
			panic(http.ErrAbortHandler)
		})
		w.b.breaksOff(1)
		a := w.send(t, http.MethodPost, order, strings.NewReader("{}"), keyed(id))
		if n := len(w.b.requests()); reason(t, a) != "ANSWER_LOST" || n != 1 {
			t.Errorf("the second cell was asked %d times, %+v", n, a)
		}
	})
}
