package evacuation

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// zombies of one move: half stop inside of their transactions, with the slot's row in their hands, the others before.
const (
	zombiesInside = 48
	zombiesBefore = 48
)

// haunt a cell's slots with writers that stop, move all slots away, and let the writers go on.
func (w *world) haunt(t *testing.T, round int, c *simCell, move func()) (late int) {
	t.Helper()
	thaw, inside := make(chan struct{}), make(chan struct{}, zombiesInside)
	var all sync.WaitGroup
	errs := make(chan error, zombiesInside+zombiesBefore)
	for i := range zombiesInside + zombiesBefore {
		id := w.customerOf(c.id)
		key := fmt.Sprintf("%s/zombie-%d-%d", id, round, i)
		all.Go(func() {
			if i < zombiesBefore {
				<-thaw
			}
			errs <- c.fence.InSlotTx(w.background, id, func(tx sqldb.Tx) error {
				if i >= zombiesBefore {
					select {
					case inside <- struct{}{}:
					default: // it runs again
					}
					<-thaw
				}
				_, err := tx.Exec(w.background, stmtEffect, string(east), []string{key}, []string{c.id}, []int16{int16(id.Slot())})
				return err
			})
		})
	}
	for range zombiesInside {
		select {
		case <-inside:
		case err := <-errs:
			t.Fatalf("a writer ended before it was to stop: %v", err)
		case <-time.After(patience):
			t.Fatal("the writers do not come to where they stop")
		}
	}
	move()
	close(thaw)
	all.Wait()
	close(errs)
	for err := range errs {
		late++
		if err == nil {
			t.Error("a late write was acknowledged")
		} else if !problem.Is(err, fence.ReasonWrongCell) && problem.KindOf(err) != problem.Unavailable {
			t.Errorf("a late write ended with %v", err)
		}
	}
	return late
}

// customerOf a slot that a cell owns by the newest map.
func (w *world) customerOf(cell string) ident.CustomerID {
	m := w.fleet.Map()
	for {
		id := ident.NewCustomer("use1")
		if owner, _, ok := m.Owner(id); ok && owner == cell {
			return id
		}
	}
}

// TestALateWriteNeverCommits: cells hang, before and inside of their transactions, while their slots move, and go on then.
// CELLAR_ZOMBIES says how many writes.
func TestALateWriteNeverCommits(t *testing.T) {
	w := newWorld(t, zombiesInside+8)
	late, n := 0, sizeOf(t, "CELLAR_ZOMBIES", 3*(zombiesInside+zombiesBefore))
	for round := 0; late < n; round++ {
		c := w.cells[w.names[round%len(w.names)]]
		late += w.haunt(t, round, c, func() { w.shove(t, c.id) })
		if t.Failed() {
			return
		}
	}
	if effects := w.counts(stmtEffects); len(effects) > 0 {
		t.Errorf("%d late writes have committed", len(effects))
	}
	t.Logf("of %d late writes 0 have committed", late)
}

// shove all slots of a cell to the others, and make it one that can have some again.
func (w *world) shove(t *testing.T, cell string) {
	t.Helper()
	order := Order{Wish: evacuating(cell), Cause: cause, ExpiresIn: time.Hour}
	p, err := w.moves.Plan(w.background, order.Wish)
	if err != nil {
		t.Fatal(err)
	}
	order.Hash = p.GetHash()
	e, err := w.moves.Start(w.background, order)
	if err != nil {
		t.Fatal(err)
	}
	w.moves.drive(w.background, e.GetEvacuationId())
	e, err = w.moves.Get(w.background, e.GetEvacuationId())
	if err != nil || e.GetState() != done || unmet(e) != "" {
		t.Fatalf("the move is %s, does not hold: %q, %v", e.GetState(), unmet(e), err)
	}
	w.fleet.welcome(t, cell)
}
