package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// troubles are what becomes of the transactions to come, one at each point that is passed; after the last all goes well.
type troubles struct {
	mu   sync.Mutex
	list []bool
}

func (f *troubles) set(list []bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

// at a point: before the commit the server may abort the transaction, after it the answer may be lost.
func (f *troubles) at(p sqldb.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == 0 {
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

// insist repeats a call whose answer was lost, as a saga does.
func insist(t reporter, c action) {
	t.Helper()
	for range 20 {
		_, err := c.call(context.Background())
		if err == nil {
			return
		}
		if !errors.Is(err, sqldb.ErrAmbiguous) {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	t.Fatalf("%s never succeeds", c.name)
}

func TestWhateverIsAbortedOrLostRepeatingEndsInTheSameState(t *testing.T) {
	quiet, url := sqldbtest.NewWithURL(t, sqldb.Regional)
	var trouble troubles
	clean, shaky := onDB(quiet, nil), onDB(sqldbtest.Reopen(t, sqldb.Regional, url, sqldbtest.WithFaults(trouble.at)), nil)
	ends := map[string]func(w world, fc, order string) []action{
		"ship": lifeOf,
		"release": func(w world, fc, order string) []action {
			return append(lifeOf(w, fc, order)[:4], action{"release", func(ctx context.Context) (proto.Message, error) {
				return w.Release(ctx, &inventoryv1.ReleaseRequest{FcId: fc, OrderId: order})
			}})
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		life := ends[rapid.SampledFrom([]string{"ship", "release"}).Draw(t, "end")]
		run, order := ident.NewToken()[:8], newOrder()
		for _, c := range life(clean, "iad-clean-"+run, order) {
			if _, err := c.call(context.Background()); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		for _, c := range life(shaky, "iad-shaky-"+run, order) {
			trouble.set(rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, c.name))
			insist(t, c)
		}
		trouble.set(nil)
		for _, show := range []func(reporter, *sqldb.DB, string) string{rowsOf, ledgerOf} {
			if got, want := show(t, quiet, "iad-shaky-"+run), show(t, quiet, "iad-clean-"+run); got != want {
				t.Fatalf("with faults:\n%s\nwithout:\n%s", got, want)
			}
		}
		checkBooks(t, quiet, "iad-shaky-"+run)
	})
}

func TestASweepThatIsAbortedOnceTellsEachHoldOnce(t *testing.T) {
	var trouble troubles
	w := newWorld(t, sqldbtest.WithFaults(trouble.at))
	w.mustRestock(t, "iad1", "ale", 3)
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 1), time.Second))
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 2), time.Second))
	w.clock.Advance(sweepEvery)
	trouble.set([]bool{false, true}) // the work is done, and its commit is refused
	if n, err := w.Sweep(t.Context()); err != nil || n != 2 {
		t.Errorf("swept %d, %v", n, err)
	}
	checkStock(t, w.db, "iad1/ale", 3, 0)
}
