package router_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// breaksOff so many answers, and then answers with the cell's name.
func (c *cell) breaksOff(times int64) {
	var n atomic.Int64
	c.on(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) <= times {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, c.id)
	})
}

func TestALostAnswerIsAskedForAgainWhereThatChangesNothing(t *testing.T) {
	w := newWorld(t).run(t)
	header := bearer(w.customer(w.a))
	for _, c := range []struct{ method, path string }{{http.MethodPost, look}, {http.MethodGet, path + "?message=%7B%7D"}} {
		w.a.breaksOff(1)
		before := len(w.a.requests())
		if a := w.send(t, c.method, c.path, strings.NewReader(""), header); a.body != "use1-a" {
			t.Errorf("%s %s: got %+v", c.method, c.path, a)
		}
		if n := len(w.a.requests()) - before; n != 2 {
			t.Errorf("%s %s: it was sent %d times", c.method, c.path, n)
		}
		w.a.breaksOff(9)
		before = len(w.a.requests())
		if a := w.sendThrough(t, 2, c.method, c.path, header); reason(t, a) != "ANSWER_LOST" {
			t.Errorf("%s %s: got %+v", c.method, c.path, a)
		}
		if n := len(w.a.requests()) - before; n != 4 {
			t.Errorf("%s %s: it was sent %d times", c.method, c.path, n)
		}
		w.a.breaksOff(0)
		w.post(t, "{}", header) // an answer, so that nobody is ejected
	}
}

// sendThrough so many waits for the map.
func (w *world) sendThrough(t *testing.T, waits int, method, path string, header http.Header) answer {
	t.Helper()
	answers := make(chan answer, 1)
	go func() { answers <- w.send(t, method, path, strings.NewReader("{}"), header) }()
	for range waits {
		w.asleep(t, 2)
		w.clock.Advance(25 * time.Millisecond)
	}
	return <-answers
}

func TestWhoBelongsNowhereIsAskedForAgainElsewhere(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.breaksOff(1000)
	for range 3 {
		if a := w.send(t, http.MethodGet, look, nil, nil); a.body != "use1-b" {
			t.Errorf("got %+v", a)
		}
	}
}

func TestRetriesAreAShareOfTheRequests(t *testing.T) {
	w := newWorld(t).run(t)
	var failed sync.Map
	failed.Store("", true)
	for _, c := range w.cells {
		c.on(func(w http.ResponseWriter, r *http.Request) { // once each, and alternately, so that nobody is ejected
			if _, again := failed.LoadOrStore(r.Header.Get("X-Fails"), true); !again {
				panic(http.ErrAbortHandler)
			}
		})
	}
	header := with(bearer(w.customer(w.a)), "Idempotency-Key", "k")
	const requests = 200
	for i := range requests / 2 {
		w.send(t, http.MethodGet, look, nil, with(header, "X-Fails", fmt.Sprint("look", i)))
		w.send(t, http.MethodGet, look, nil, header)
		w.send(t, http.MethodPost, order, strings.NewReader("{}"), with(header, "X-Fails", fmt.Sprint("order", i)))
		w.send(t, http.MethodPost, order, strings.NewReader("{}"), header)
	}
	// Twenty in any case, and a fifth of the four hundred.
	if sent := len(w.a.requests()); sent > 2*requests+20+2*requests/5 || sent <= 2*requests+20 {
		t.Errorf("%d requests were sent %d times", 2*requests, sent)
	}
}

func TestASlowAnswerIsAskedForElsewhereToo(t *testing.T) {
	w := newWorld(t).run(t)
	gone := make(chan struct{}, 9)
	w.a.on(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	w.change(t, func(m *topology.Map) { m.Cells[1].State = topology.Draining }) // so that a is first
	begun := make(chan struct{}, 9)
	hang := *w.a.handle.Load()
	w.a.on(func(rw http.ResponseWriter, r *http.Request) { begun <- struct{}{}; hang(rw, r) })
	answers := make(chan answer, 1)
	go func() { answers <- w.send(t, http.MethodPost, look, strings.NewReader("{}"), nil) }()
	<-begun
	w.change(t, func(m *topology.Map) { m.Cells[1].State = topology.Active })
	if a := <-answers; a.body != "use1-b" {
		t.Errorf("got %+v", a)
	}
	<-gone // the slow one is told
	eventually(t, "it is observed", func() bool {
		results, changes := w.observed()
		return len(changes) == 0 && len(results) == 1 && results[0] == "use1-b answered"
	})
}

func TestWhatChangesSomethingIsNotAskedForTwice(t *testing.T) {
	for name, ask := range map[string]func(*world) answer{
		"no method without side effects": func(w *world) answer {
			return w.send(t, http.MethodPost, path, strings.NewReader("{}"), http.Header{"Connect-Timeout-Ms": {"1"}})
		},
		"a customer's": func(w *world) answer {
			return w.send(t, http.MethodPost, look, strings.NewReader("{}"), with(bearer(w.customer(w.a)), "Connect-Timeout-Ms", "1"))
		},
	} {
		w := newWorld(t).run(t)
		for _, c := range w.cells {
			c.on(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}
		if a := ask(w); reason(t, a) != "DEADLINE_EXCEEDED" { // half a second after the deadline: long after a second question would have been asked
			t.Errorf("%s: got %+v", name, a)
		}
		sent := 0
		for _, c := range w.cells {
			sent += len(c.requests())
		}
		if sent != 1 {
			t.Errorf("%s: it was sent %d times", name, sent)
		}
	}
}

// once is a cell that answers one request on each connection and then closes it without a word; closed tells when it has.
func once(t *testing.T, answer string) (address string, closed <-chan struct{}) {
	t.Helper()
	ended := make(chan struct{}, 1000)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close(); ended <- struct{}{} }()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return ln.Addr().String(), ended
}

func TestAConnectionThatEndedIsNotUsedAgain(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	address, closed := once(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	w.change(t, func(m *topology.Map) { m.Cells[0].Public = address })
	for range 50 {
		if a := w.post(t, "{}", bearer(id)); a.body != "ok" {
			t.Errorf("got %+v", a)
		}
		<-closed // what is sent in the very moment in which a connection ends may be lost
	}
}

func TestAnAnswerThatIsNoneIsLost(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "hello\r\n\r\n", "", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	} {
		w := newWorld(t).run(t)
		id := w.customer(w.a)
		address, _ := once(t, text)
		w.change(t, func(m *topology.Map) { m.Cells[0].Public = address })
		if a := w.post(t, "{}", bearer(id)); reason(t, a) != "ANSWER_LOST" {
			t.Errorf("%q: got %+v", text, a)
		}
	}
}

func TestAnswersOfEveryLengthArePassedOn(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	for text, want := range map[string]string{
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": "ok",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end":                                                      "until the end",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end":                                                      "until the end",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":                 "ok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more that nobody asked for":             "ok",
	} {
		address, _ := once(t, text)
		w.change(t, func(m *topology.Map) { m.Cells[0].Public = address })
		if a := w.post(t, "{}", bearer(id)); a.body != want || a.status != http.StatusOK {
			t.Errorf("%q: got %+v", text, a)
		}
	}
}

// inSlotOf somebody is another customer.
func inSlotOf(id ident.CustomerID) ident.CustomerID {
	for {
		if other := ident.NewCustomer(id.Ring()); other.Slot() == id.Slot() {
			return other
		}
	}
}

func TestOneCustomersOwnerIsLearntForThatCustomer(t *testing.T) {
	w := newWorld(t).run(t)
	pinned := w.customer(w.a)
	other := inSlotOf(pinned)
	w.a.on(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), string(pinned)) {
			rw.Header().Set("Cellar-Wrong-Cell", hint(pinned, "use1-b", 9)+"; customer="+string(pinned))
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(rw, "use1-a")
	})
	for range 3 {
		if a := w.post(t, "{}", bearer(pinned)); a.body != "use1-b" {
			t.Errorf("got %+v", a)
		}
		if a := w.post(t, "{}", bearer(other)); a.body != "use1-a" {
			t.Errorf("another customer of the slot: %+v", a)
		}
	}
	if n := len(w.a.requests()); n != 1+3 {
		t.Errorf("the slot's owner was asked %d times", n)
	}
	// Pinned no more, and no map says so: the cell that had the customer does.
	w.a.on(echo)
	w.b.redirects(hint(pinned, "use1-a", 1))
	for range 3 {
		if a := w.post(t, "x", bearer(pinned)); a.body != "x" {
			t.Errorf("got %+v", a)
		}
	}
	if n := len(w.b.requests()); n != 3+1 {
		t.Errorf("the former owner was asked %d times", n)
	}
}

func TestARedirectAboutSomebodyElseIsFollowedAndNotLearnt(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 9) + "; customer=" + string(inSlotOf(id)))
	for range 2 {
		if a := w.post(t, "{}", bearer(id)); a.body != "use1-b" {
			t.Errorf("got %+v", a)
		}
	}
	if n := len(w.a.requests()); n != 2 {
		t.Errorf("the owner was asked %d times", n)
	}
}

func TestReportsTellWhatWasSeen(t *testing.T) {
	w := newWorld(t).run(t)
	begun := w.clock.Now()
	w.router.Reports()
	header := bearer(w.customer(w.a))
	for range 3 {
		w.post(t, "{}", header)
	}
	w.a.breaksOff(100)
	for range 2 {
		w.post(t, "{}", header)
	}
	w.clock.Advance(time.Second)
	w.asleep(t, 1)
	all := w.router.Reports()
	if len(all) != len(w.cells) {
		t.Fatalf("got %+v", all)
	}
	if got := fmt.Sprint(all[0]); got != fmt.Sprint(struct {
		Cell               string
		Healthy            bool
		Since              time.Time
		Requests, Failures uint64
	}{"use1-a", true, begun, 5, 2}) {
		t.Errorf("got %s", got)
	}
	for range 5 {
		w.pass(w.start(t, "{}", header)) // and it is ejected
	}
	if one := w.router.Reports()[0]; one.Healthy || !one.Since.After(begun) || one.Failures < 5 {
		t.Errorf("got %+v", one)
	}
}
