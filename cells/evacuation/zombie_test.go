package evacuation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// zombies of one move: some stop inside of their transactions, with the slot's row in their hands, the others before. Each of
// the former costs a session, which takes the server longer to make anew than anything else here.
const (
	zombiesInside = 16
	zombiesBefore = 84
)

// zombie is a writer who stops.
type zombie struct {
	c      *simCell
	id     ident.CustomerID
	key    string
	inside chan<- struct{} // told when it stops inside of its transaction; nil for one that stops before
	thaw   <-chan struct{}
}

// write late. Whoever is to stop inside tries until it has got that far.
func (z *zombie) write(ctx context.Context) error {
	if z.inside == nil {
		<-z.thaw
	}
	for {
		stopped := false
		err := z.c.fence.InSlotTx(ctx, z.id, func(tx sqldb.Tx) error {
			if z.inside != nil && !stopped {
				stopped = true
				z.inside <- struct{}{}
				<-z.thaw
			}
			_, err := tx.Exec(ctx, stmtEffect, string(east), []string{z.key}, []string{z.c.id}, []int16{int16(z.id.Slot())})
			return err
		})
		if z.inside == nil || stopped || ctx.Err() != nil {
			return err
		}
	}
}

// haunt a cell's slots with writers that stop, move all slots away, and let the writers go on.
func (w *world) haunt(t *testing.T, round int, c *simCell, move func()) (late int) {
	t.Helper()
	thaw, inside := make(chan struct{}), make(chan struct{}, zombiesInside)
	var all sync.WaitGroup
	errs := make(chan error, zombiesInside+zombiesBefore)
	for i := range zombiesInside + zombiesBefore {
		z := &zombie{c: c, id: w.customerOf(c.id), thaw: thaw}
		z.key = fmt.Sprintf("%s/zombie-%d-%d", z.id, round, i)
		if i >= zombiesBefore {
			z.inside = inside
		}
		all.Go(func() { errs <- z.write(w.background) })
	}
	for range zombiesInside {
		<-inside
	}
	func() {
		defer close(thaw) // also when the move fails
		move()
	}()
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
