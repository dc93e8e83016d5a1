package evacuation

import (
	"context"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
)

// frozenAt is a driver that stops at the n-th time that it comes to a point: at "flip" it has read the rows and has seen that
// its move is wanted.
func (d *desk) frozenAt(point string, n int, id string) (thaw func()) {
	d.t.Helper()
	old := d.newMoves()
	frozen, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	old.at = func(_ context.Context, here string) error {
		if here == point {
			if n--; n == 0 {
				close(frozen)
				<-goOn
			}
		}
		return nil
	}
	go func() {
		defer close(over)
		old.drive(context.WithoutCancel(d.t.Context()), id)
	}()
	<-frozen
	return func() {
		close(goOn)
		<-over
	}
}

func TestADriverThatSleptThroughAnAbortMovesNothing(t *testing.T) {
	d := newDesk(t)
	before, _ := owners(t, d.customers, east)
	id := d.start(evacuating("use1-a")).GetEvacuationId()
	thaw := d.frozenAt("flip", 1, id)
	if _, err := d.moves.Abort(t.Context(), id, cause); err != nil {
		t.Fatal(err)
	}
	if e := d.drive(id); e.GetState() != aborted {
		t.Fatalf("it is %s", e.GetState())
	}
	thaw()
	if now, _ := owners(t, d.customers, east); now != before {
		t.Error("slots have moved after the move was given up")
	}
}

func TestADriverThatSleptThroughTheMoveAndItsUndoMovesNothing(t *testing.T) {
	d := newDesk(t)
	before, _ := owners(t, d.customers, east)
	id := d.start(evacuating("use1-a")).GetEvacuationId()
	thaw := d.frozenAt("flip", 1, id)
	d.expectState(d.drive(id), done)
	back, err := d.moves.Undo(t.Context(), id, cause)
	if err != nil {
		t.Fatal(err)
	}
	d.expectState(d.drive(back.GetEvacuationId()), done)
	thaw()
	if now, _ := owners(t, d.customers, east); now != before {
		t.Error("slots have moved after the move was undone")
	}
	d.expectState(d.get(id), undone)
}

func TestADriverThatSleptThroughTheNextMoveLeavesThatAlone(t *testing.T) {
	d := newDesk(t)
	id := d.start(evacuating("use1-a")).GetEvacuationId()
	thaw := d.frozenAt("flip", 1, id)
	d.expectState(d.drive(id), done)
	d.fleet.set(func() {
		d.fleet.cells = append(d.fleet.cells[:len(d.fleet.cells):len(d.fleet.cells)], cellOf("use1-c", east))
	})
	if _, err := d.fleet.Publish(t.Context(), cause); err != nil {
		t.Fatal(err)
	}
	d.expectState(d.drive(d.start(evacuating("use1-b")).GetEvacuationId()), done)
	after, epochs := owners(t, d.customers, east)
	thaw()
	if now, newer := owners(t, d.customers, east); now != after || newer != epochs {
		t.Error("a driver of a move that was done has changed slots")
	}
}

func TestADriverThatSleptMarksNoCellAnyMore(t *testing.T) {
	for n, last := range []string{"draining", "evacuated"} {
		t.Run(last, func(t *testing.T) {
			d := newDesk(t)
			id := d.start(evacuating("use1-a")).GetEvacuationId()
			thaw := d.frozenAt("mark", n+1, id)
			d.expectState(d.drive(id), done)
			back, err := d.moves.Undo(t.Context(), id, cause)
			if err != nil {
				t.Fatal(err)
			}
			d.expectState(d.drive(back.GetEvacuationId()), done)
			thaw()
			if _, err := d.fleet.Publish(t.Context(), cause); err != nil {
				t.Fatal(err)
			}
			if s := d.fleet.Map().Cell("use1-a").State; s != topology.Active {
				t.Errorf("the cell is %s, and was brought back", s)
			}
		})
	}
}
