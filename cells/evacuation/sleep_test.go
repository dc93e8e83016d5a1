package evacuation

import (
	"context"
	"testing"
)

// frozenAtFlip is a driver that has read the rows, has seen that its move is wanted, and stops before it flips.
func (d *desk) frozenAtFlip(id string) (thaw func()) {
	d.t.Helper()
	old := d.newMoves()
	frozen, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := true
	old.at = func(_ context.Context, point string) error {
		if point == "flip" && first {
			first = false
			close(frozen)
			<-goOn
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
	thaw := d.frozenAtFlip(id)
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
	thaw := d.frozenAtFlip(id)
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
	thaw := d.frozenAtFlip(id)
	d.expectState(d.drive(id), done)
	d.fleet.set(func() { d.fleet.cells = append(d.fleet.cells[:len(d.fleet.cells):len(d.fleet.cells)], cellOf("use1-c", east)) })
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
