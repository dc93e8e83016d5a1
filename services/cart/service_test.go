package cart

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestALineHasAtMost999Units(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	must(t, w.add(id, "ale", 998), w.add(id, "ale", 1))
	refused(t, w.add(id, "ale", 1), problem.Precondition, "QUANTITY_LIMIT")
	refused(t, w.add(id, "ale", 999), problem.Precondition, "QUANTITY_LIMIT")
	must(t, w.set(id, "ale", 999), w.add(id, "port", 999))
	same(t, "cart", w.quantities(t, id), "ale×999 port×999")
}

func TestACartHasAtMost200ProductsAndStillTakesMoreOfThem(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	w.fill(t, id, 198)
	must(t, w.add(id, "ale", 1), w.set(id, "port", 1)) // the 199th and the 200th
	for _, err := range []error{w.add(id, "rum", 1), w.set(id, "rum", 1)} {
		refused(t, err, problem.Precondition, "CART_FULL")
	}
	must(t, w.add(id, "ale", 1), w.set(id, "bulk-000", 7), w.set(id, "rum", 0))
	same(t, "products", len(strings.Fields(w.quantities(t, id))), 200)
	must(t, w.removed(id, "bulk-001"), w.add(id, "rum", 1))
	refused(t, w.add(id, "bulk-001", 1), problem.Precondition, "CART_FULL")
}

func TestAMergeIntoAnAlmostFullCartLeavesOutWhatHasNoPlace(t *testing.T) {
	w, id, guest := newWorld(t), newCustomer(), newGuest()
	w.fill(t, id, 199)
	for _, sku := range []string{"rum", "bulk-000", "port", "ale"} {
		must(t, w.add(guest, sku, 4))
		w.clock.Advance(time.Second)
	}
	got, err := w.merge(id, guest)
	must(t, err)
	same(t, "merged", got, "rum 4→4 bulk-000 4→4 port 4→0 ale 4→0")
	all := w.quantities(t, id)
	if !strings.HasSuffix(all, " rum×4") || !strings.HasPrefix(all, "bulk-000×4 ") || len(strings.Fields(all)) != 200 {
		t.Errorf("the cart has %s", all)
	}
}

func TestAGuestsCartIsMergedOnceAndTheFirstAnswerIsGivenAgain(t *testing.T) {
	w, id, guest := newWorld(t), newCustomer(), newGuest()
	must(t, w.add(id, "ale", 5), w.add(id, "port", 1), w.add(guest, "ale", 2), w.add(guest, "port", 3), w.add(guest, "rum", 4))
	first, err := w.merge(id, guest)
	must(t, err)
	same(t, "merged", first, "ale 2→5 port 3→3 rum 4→4")
	// What the guest and the customer do later does not change what was merged.
	must(t, w.set(guest, "ale", 99), w.set(id, "port", 1), w.removed(id, "rum"))
	before := rowsOf(t, w.db, id)
	again, err := w.merge(id, guest)
	must(t, err)
	same(t, "merged again", again, first)
	same(t, "rows", rowsOf(t, w.db, id), before)
	// Another guest's counts, and so does the same guest's for another customer.
	other, friend := newGuest(), newCustomer()
	must(t, w.add(other, "port", 2))
	if got, err := w.merge(id, other); err != nil || got != "port 2→2" {
		t.Errorf("another guest: %s, %v", got, err)
	}
	if got, err := w.merge(friend, guest); err != nil || got != "ale 99→99 port 3→3 rum 4→4" {
		t.Errorf("another customer: %s, %v", got, err)
	}
}

func TestOfManyMergesOfOneGuestAtOnceOneCounts(t *testing.T) {
	w, id, guest := newWorld(t), newCustomer(), newGuest()
	must(t, w.add(id, "port", 1), w.add(guest, "ale", 2), w.add(guest, "port", 7))
	var mu sync.Mutex
	answers := map[string]int{}
	must(t, together(16, func(int) error {
		got, err := w.merge(id, guest)
		mu.Lock()
		defer mu.Unlock()
		answers[got]++
		return err
	})...)
	same(t, "answers", fmt.Sprint(answers), "map[ale 2→2 port 7→7:16]")
	same(t, "cart", w.quantities(t, id), "ale×2 port×7")
}

func TestWhatAnOrderBoughtIsTakenOutOnceAndWhatWasAddedSinceStays(t *testing.T) {
	w, id, order := newWorld(t), newCustomer(), newOrder()
	must(t, w.add(id, "ale", 5), w.add(id, "port", 2), w.add(id, "rum", 1))
	for range 2 { // an order's saga may ask again
		must(t, w.bought(id, order, "ale", 2, "port", 2, "gin", 1))
		same(t, "left", w.quantities(t, id), "ale×3 rum×1")
	}
	must(t, w.bought(id, newOrder(), "ale", 2, "rum", 9))
	same(t, "left by another order", w.quantities(t, id), "ale×1")
	must(t, w.add(newCustomer(), "ale", 1), w.add(id, "port", 4), w.bought(id, order, "port", 2))
	same(t, "left when the first order asks once more", w.quantities(t, id), "ale×1 port×4")
}

func TestOfManyRemovalsForOneOrderAtOnceOneCounts(t *testing.T) {
	w, id, order := newWorld(t), newCustomer(), newOrder()
	must(t, w.add(id, "ale", 100), w.add(id, "port", 100))
	must(t, together(16, func(int) error { return w.bought(id, order, "ale", 3, "port", 5) })...)
	same(t, "left", w.quantities(t, id), "ale×97 port×95")
}

func TestNobodysCommandTouchesAnothersCart(t *testing.T) {
	w, bystander, id, guest := newWorld(t), newCustomer(), newCustomer(), newGuest()
	must(t, w.add(bystander, "ale", 3), w.add(bystander, "port", 3), w.add(guest, "ale", 9))
	before := rowsOf(t, w.db, bystander)
	_, merge := w.merge(id, guest)
	must(t, merge, w.add(id, "ale", 1), w.set(id, "port", 7), w.bought(id, newOrder(), "ale", 3, "port", 3), w.removed(id, "port"))
	same(t, "the bystander's rows", rowsOf(t, w.db, bystander), before)
	same(t, "the guest's cart", w.quantities(t, guest), "ale×9")
}

// troubles are what becomes of the transactions to come, one at each point that is passed; after the last all goes well.
type troubles struct {
	mu    sync.Mutex
	list  []bool
	kinds map[sqldb.Point]bool
}

func (f *troubles) set(list []bool, kinds ...sqldb.Point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list, f.kinds = list, map[sqldb.Point]bool{}
	for _, k := range kinds {
		f.kinds[k] = true
	}
}

// at a point: before the commit the server may abort the transaction, after it the answer may be lost.
func (f *troubles) at(p sqldb.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == 0 || !f.kinds[p] {
		return nil
	}
	hit := f.list[0]
	f.list = f.list[1:]
	switch {
	case !hit:
		return nil
	case p == sqldb.AfterCommit:
		return fmt.Errorf("played by a test: %w", sqldb.ErrAmbiguous)
	default:
		return sqldb.FakeSerializationFailure()
	}
}

func TestWhateverIsAbortedOrLostRepeatingEndsInTheSameState(t *testing.T) {
	quiet, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	var trouble troubles
	flaky := sqldbtest.Reopen(t, sqldb.Customer, url, sqldbtest.WithFaults(trouble.at))
	clean, shaky := onDB(quiet, fencetest.Owner(quiet, "us-east-1")), onDB(flaky, fencetest.Owner(flaky, "us-east-1"))
	rapid.Check(t, func(t *rapid.T) {
		guest, order := newGuest(), newOrder()
		must(t, clean.add(guest, "port", 6), clean.add(guest, "rum", 2))
		run := func(w world, before func(step string)) string {
			id := newCustomer()
			var answer string
			for _, s := range []struct {
				name string
				call func() error
			}{
				{"add", func() error { return w.add(id, "ale", 5) }},
				{"set", func() error { return w.set(id, "port", 4) }},
				{"merge", func() (err error) { answer, err = w.merge(id, guest); return err }},
				{"bought", func() error { return w.bought(id, order, "ale", 2, "port", 1) }},
				{"remove", func() error { return w.removed(id, "rum") }},
			} {
				before(s.name)
				insist(t, s.name, s.call)
			}
			return answer + "\n" + rowsOf(t, quiet, id)
		}
		want := run(clean, func(string) {})
		got := run(shaky, func(step string) {
			points := []sqldb.Point{sqldb.BeforeWork, sqldb.BeforeCommit, sqldb.AfterCommit}
			if step == "add" { // has no key: who repeats it adds twice
				points = points[:2]
			}
			trouble.set(rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, step), points...)
		})
		same(t, "with faults", got, want)
	})
}

// insist repeats a call whose answer was lost, as its caller does.
func insist(t reporter, name string, call func() error) {
	t.Helper()
	for range 20 {
		err := call()
		if err == nil {
			return
		}
		if !errors.Is(err, sqldb.ErrAmbiguous) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	t.Fatalf("%s never succeeds", name)
}
