package router_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// hint as cells write it.
func hint(id ident.CustomerID, owner string, epoch uint64) string {
	return fmt.Sprintf("owner=%s; ring=%s; slot=%d; epoch=%d", owner, id.Region(), id.Slot(), epoch)
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestAStaleMapIsHealedByARedirect(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 2))
	w.b.on(echo)
	long := strings.Repeat("the cart ", 100_000)
	if a := w.post(t, long, bearer(id)); a.body != long || a.header.Get("Cellar-Wrong-Cell") != "" {
		t.Fatalf("status %d, %d bytes, header %v", a.status, len(a.body), a.header)
	}
	if a := w.post(t, "again", bearer(id)); a.body != "again" {
		t.Errorf("got %+v", a)
	}
	if n, m := len(w.a.requests()), len(w.b.requests()); n != 1 || m != 2 {
		t.Errorf("the old owner was asked %d times, the new one %d: it was not learnt", n, m)
	}
	if first, then := w.a.requests()[0].Header.Get("X-Request-Id"), w.b.requests()[0].Header.Get("X-Request-Id"); first != then {
		t.Errorf("one request has two ids, %q and %q", first, then)
	}
}

func TestANewerMapWinsOverWhatWasLearnt(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 2))
	w.post(t, "{}", bearer(id))
	w.a.on(echo)
	w.change(t, noChange) // newer, but it knows no better about this slot
	if a := w.post(t, "x", bearer(id)); a.body != "use1-b" {
		t.Errorf("a map that knows less has won: %+v", a)
	}
	w.give(t, id, w.a, 3)
	if a := w.post(t, "x", bearer(id)); a.body != "x" {
		t.Errorf("got %+v", a)
	}
}

func TestWhatIsNoNewerIsFollowedAndNotLearnt(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 1))
	for range 3 {
		if a := w.post(t, "{}", bearer(id)); a.body != "use1-b" {
			t.Fatalf("got %+v", a)
		}
	}
	if n := len(w.a.requests()); n != 3 {
		t.Errorf("the owner was asked %d times, want each time", n)
	}
}

func TestAMalformedRedirectIsAnAnswer(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	for _, header := range []string{"elsewhere", "owner=use1-b", "owner=use1-b; ring=us-east-1; slot=4096; epoch=1", "owner=use1-b; ring=us-east-1; slot=1; epoch=x"} {
		w.a.redirects(header)
		if a := w.post(t, "{}", bearer(id)); a.status != http.StatusBadRequest || a.header.Get("Cellar-Wrong-Cell") != "" {
			t.Errorf("%q: %+v", header, a)
		}
	}
}

func TestWhileASlotMovesARequestWaitsForTheMap(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 2))
	w.b.redirects(hint(id, "use1-a", 1)) // it has not heard yet
	answers := w.start(t, "the order", bearer(id))
	w.asleep(t, 2)
	w.b.on(echo)
	w.give(t, id, w.b, 2)
	w.clock.Advance(25 * time.Millisecond)
	if a := <-answers; a.body != "the order" {
		t.Errorf("got %+v", a)
	}
}

// Each cell makes the stranger a customer in a slot that has just left it, which its map does not say yet.
func TestWhileSlotsMoveAStrangerWaitsForTheMapToo(t *testing.T) {
	w := newWorld(t).run(t)
	w.a.redirects(hint(w.customer(w.a), "use1-b", 2))
	w.b.redirects(hint(w.customer(w.b), "use1-a", 2))
	answers := w.start(t, "a first item", nil)
	w.asleep(t, 2)
	w.a.on(echo)
	w.b.on(echo)
	w.clock.Advance(25 * time.Millisecond)
	if a := <-answers; a.body != "a first item" {
		t.Errorf("got %+v", a)
	}
}

func TestASlotThatNobodyOwnsForTooLongIsUnavailable(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-b", 2))
	w.b.redirects(hint(id, "use1-a", 3))
	begun := w.clock.Now()
	a := w.pass(w.start(t, "{}", bearer(id)))
	if a.status != http.StatusServiceUnavailable || reason(t, a) != "SLOT_MOVING" {
		t.Errorf("got %+v", a)
	}
	if took := w.clock.Now().Sub(begun); took < 1500*time.Millisecond {
		t.Errorf("it was given up after %v", took)
	}
	eventually(t, "it is observed", func() bool {
		results, _ := w.observed()
		return len(results) == 1 && strings.HasSuffix(results[0], " SLOT_MOVING")
	})
	if n := len(w.a.requests()) + len(w.b.requests()); n > 130 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestARedirectToNobodyKnownWaits(t *testing.T) {
	for _, named := range []string{"use1-z", ""} {
		w := newWorld(t).run(t)
		id := w.customer(w.a)
		w.a.redirects(hint(id, named, 7))
		answers := w.start(t, "{}", bearer(id))
		w.asleep(t, 2)
		w.a.on(echo)
		w.clock.Advance(25 * time.Millisecond)
		if a := <-answers; a.body != "{}" {
			t.Errorf("%q: got %+v", named, a)
		}
	}
}

func TestALostAnswerIsNotAskedForAgain(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	header := with(bearer(id), "Idempotency-Key", "k1")
	if a := w.post(t, "{}", header); a.body != "use1-a" { // so that the next goes over a connection that has been used
		t.Fatalf("got %+v", a)
	}
	if got := w.a.last(t).Header.Get("Idempotency-Key"); got != "k1" {
		t.Errorf("the cell sees the key %q", got)
	}
	w.a.on(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	before := len(w.a.requests())
	a := w.post(t, "{}", header)
	if n := len(w.a.requests()) - before; n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	if reason(t, a) != "ANSWER_LOST" || a.header.Get("Retry-After") != "1" {
		t.Errorf("got %+v", a)
	}
}

func TestACellThatHangsIsGivenUpAfterTheDeadline(t *testing.T) {
	w := newWorld(t).run(t)
	gone := make(chan struct{})
	w.a.on(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	a := w.post(t, "{}", with(bearer(w.customer(w.a)), "Connect-Timeout-Ms", "1"))
	if reason(t, a) != "DEADLINE_EXCEEDED" {
		t.Errorf("got %+v", a)
	}
	<-gone // the cell is told
	if n := len(w.a.requests()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestTheTimeThatWaitingTookIsNotGivenAgain(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.a)
	w.a.redirects(hint(id, "use1-z", 7))
	answers := w.start(t, "{}", with(bearer(id), "Connect-Timeout-Ms", "60000"))
	w.asleep(t, 2)
	w.a.on(echo)
	w.clock.Advance(100 * time.Millisecond)
	if a := <-answers; a.body != "{}" {
		t.Fatalf("got %+v", a)
	}
	all := w.a.requests()
	if first, then := all[0].Header.Get("Connect-Timeout-Ms"), all[1].Header.Get("Connect-Timeout-Ms"); first != "30000" || then != "29900" {
		t.Errorf("got %s, then %s", first, then)
	}
	w.post(t, "{}", bearer(id))
	if got, has := w.a.last(t).Header["Connect-Timeout-Ms"]; has {
		t.Errorf("a deadline %v was made up", got)
	}
}
