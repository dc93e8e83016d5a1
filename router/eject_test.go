package router_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// fail the owner's customers until it is ejected, and has been for longer than anybody waits.
func (w *world) eject(t *testing.T, c *cell) http.Header {
	t.Helper()
	header := bearer(w.customer(c))
	c.public.Close()
	eventually(t, "it is ejected", func() bool {
		if a := w.pass(w.start(t, "{}", header)); reason(t, a) != "CELL_UNAVAILABLE" || a.header.Get("Retry-After") == "" {
			t.Fatalf("got %+v", a)
		}
		_, changes := w.observed()
		return slices.Contains(changes, c.id+" open")
	})
	w.clock.Advance(2 * time.Second)
	return header
}

func TestACellThatCannotBeReachedIsEjectedAndReturns(t *testing.T) {
	w := newWorld(t).run(t)
	address := w.a.public.Listener.Addr().String()
	header := w.eject(t, w.a)
	before := w.clock.Now()
	if a := w.post(t, "{}", header); reason(t, a) != "CELL_UNAVAILABLE" { // nobody moves the clock: it does not wait
		t.Errorf("got %+v", a)
	}
	if !w.clock.Now().Equal(before) {
		t.Error("the clock has moved")
	}
	if a := w.post(t, "{}", bearer(w.customer(w.b))); a.body != "use1-b" {
		t.Errorf("the other cell's customers: %+v", a)
	}
	for range 20 {
		if a := w.post(t, "{}", nil); a.body != "use1-b" {
			t.Errorf("who belongs nowhere: %+v", a)
		}
	}
	w.a.public = w.a.listen(t, address)
	eventually(t, "it is back", func() bool { return w.post(t, "{}", header).body == "use1-a" })
	if _, changes := w.observed(); changes[len(changes)-1] != "use1-a closed" {
		t.Errorf("got %q", changes)
	}
	for range 20 {
		if a := w.post(t, "{}", header); a.body != "use1-a" {
			t.Errorf("after its return: %+v", a)
		}
	}
}

func TestARequestWaitsForAnOwnerThatComesBack(t *testing.T) {
	w := newWorld(t).run(t)
	address := w.a.public.Listener.Addr().String()
	w.a.public.Close()
	answers := w.start(t, "the order", bearer(w.customer(w.a)))
	w.asleep(t, 2) // one dial has failed
	w.a.on(echo)
	w.a.listen(t, address)
	w.clock.Advance(25 * time.Millisecond)
	if a := <-answers; a.body != "the order" {
		t.Errorf("got %+v", a)
	}
	if n := len(w.a.requests()); n != 1 {
		t.Errorf("it arrived %d times", n)
	}
}

func TestARequestIsTakenToTheNewOwnerOfADeadCellsSlot(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.public.Close()
	answers := w.start(t, "the order", bearer(id))
	w.asleep(t, 2)
	w.b.on(echo)
	w.give(t, id, w.b, 2)
	w.clock.Advance(25 * time.Millisecond)
	if a := <-answers; a.body != "the order" {
		t.Errorf("got %+v", a)
	}
}

func TestWhoBelongsNowhereGoesToAnotherCellOnce(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.public.Close() // and nobody knows
	for range 40 {
		if a := w.post(t, "{}", nil); a.body != "use1-b" {
			t.Fatalf("got %+v", a)
		}
	}
}

func TestWhoBelongsNowhereIsNotTakenRoundAllTheCells(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.public.Close()
	w.b.public.Close()
	if a := w.post(t, "{}", nil); reason(t, a) != "CELL_UNAVAILABLE" { // at once: nobody moves the clock
		t.Errorf("got %+v", a)
	}
	eventually(t, "both are ejected, and another region is asked", func() bool { return w.post(t, "{}", nil).status == http.StatusOK })
}

func TestACellThatHangsIsEjected(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	header := with(bearer(w.customer(w.a)), "Connect-Timeout-Ms", "1")
	var all []<-chan answer
	for range 5 {
		all = append(all, w.start(t, "{}", header))
	}
	for _, one := range all {
		if a := <-one; reason(t, a) != "DEADLINE_EXCEEDED" {
			t.Errorf("got %+v", a)
		}
	}
	if _, changes := w.observed(); !slices.Equal(changes, []string{"use1-a open"}) {
		t.Errorf("got %q", changes)
	}
}

func TestACellThatBreaksConnectionsIsEjected(t *testing.T) {
	w := newWorld(t).run(t)
	header := bearer(w.customer(w.a))
	w.a.on(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 5 {
		if a := w.post(t, "{}", header); reason(t, a) != "ANSWER_LOST" {
			t.Fatalf("got %+v", a)
		}
	}
	if _, changes := w.observed(); !slices.Equal(changes, []string{"use1-a open"}) {
		t.Errorf("got %q", changes)
	}
	if !strings.Contains(w.logs.String(), "state=open") {
		t.Error("the log does not say so")
	}
}

func TestWhatACellAnswersEjectsNobody(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.on(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	header := bearer(w.customer(w.a))
	for range 20 {
		if a := w.post(t, "{}", header); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "" {
			t.Fatalf("got %+v", a)
		}
	}
	if _, changes := w.observed(); len(changes) != 0 {
		t.Errorf("got %q", changes)
	}
}

func TestClientsThatGoAwayEjectNobody(t *testing.T) {
	w := newWorld(t).run(t)
	begun := make(chan struct{})
	w.a.on(func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	})
	header := bearer(w.customer(w.a))
	for range 10 {
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.front.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header.Clone()
		ended := make(chan error, 1)
		go func() {
			resp, err := w.client.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
		<-begun
		leave()
		<-ended
	}
	eventually(t, "all have ended", func() bool { results, _ := w.observed(); return len(results) == 10 })
	results, changes := w.observed()
	if len(changes) != 0 || results[0] != "use1-a CANCELED" {
		t.Errorf("got %q, %q", changes, results)
	}
}
