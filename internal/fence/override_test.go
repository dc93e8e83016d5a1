package fence_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/fence"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

var stmtOverride = sqldb.Define(sqldb.Customer, "fence_test.override", `
UPDATE slots SET overrides = $3::text::jsonb, epoch = epoch + 1, changed_at = now() WHERE region = $1 AND slot = $2`)

// override customers of one slot, each to a cell; none takes all overrides away.
func override(ctx context.Context, q sqldb.Querier, of ident.CustomerID, to map[ident.CustomerID]string) error {
	var text *string
	if len(to) > 0 {
		b, err := json.Marshal(to)
		if err != nil {
			return err
		}
		s := string(b)
		text = &s
	}
	_, err := q.Exec(ctx, stmtOverride, string(of.Region()), int16(of.Slot()), text)
	return err
}

// neighbours are customers of one slot.
func neighbours(n int) []ident.CustomerID {
	all := []ident.CustomerID{ident.NewCustomer("use1")}
	for len(all) < n {
		if id := ident.NewCustomer("use1"); id.Slot() == all[0].Slot() {
			all = append(all, id)
		}
	}
	return all
}

// writes are the ways to write a customer's rows.
var writes = map[string]func(ctx context.Context, f fence.Fence, id ident.CustomerID, cause string) error{
	"InSlotTx": func(ctx context.Context, f fence.Fence, id ident.CustomerID, cause string) error {
		return f.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
			_, err := tx.Exec(ctx, stmtNote, string(id.Region()), []string{string(id)}, []string{cause})
			return err
		})
	},
	"Send": func(ctx context.Context, f fence.Fence, id ident.CustomerID, cause string) error {
		var b sqldb.Batch
		fence.Queue(&b, id.Region(), []fence.Part{opNote.Part(&note{customer: id, cause: cause})})
		return f.Send(ctx, id, &b)
	},
	"Join": func(ctx context.Context, f fence.Fence, id ident.CustomerID, cause string) error {
		return f.Join(ctx, id, opNote.Part(&note{customer: id, cause: cause}))
	},
}

func TestAnOverriddenCustomerIsWrittenByTheCellThatServesItAndByNoOther(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	who := neighbours(3)
	mine, theirs, plain := who[0], who[1], who[2]
	for owner, writesPlain := range map[string]bool{me: true, peer: false} {
		id := who[0]
		assign(t, db, id, owner)
		if err := move(t.Context(), db, id, owner); err != nil {
			t.Fatal(err)
		}
		if err := override(t.Context(), db, id, map[ident.CustomerID]string{mine: me, theirs: "use1-c"}); err != nil {
			t.Fatal(err)
		}
		f := newFence(t, db, everythingIs(me))
		for name, write := range writes {
			cause := name + " while the slot is " + owner + "'s"
			if err := write(t.Context(), f, mine, cause); err != nil {
				t.Errorf("%s: a customer overridden to this cell: %v", cause, err)
			}
			if err := write(t.Context(), f, plain, cause); (err == nil) != writesPlain {
				t.Errorf("%s: a customer of the slot's owner: %v", cause, err)
			} else if err != nil && wrong(t, err).GetCustomerId() != "" {
				t.Errorf("%s: the redirect is for one customer: %v", cause, wrong(t, err))
			}
			d := wrong(t, write(t.Context(), f, theirs, cause))
			if d.GetOwner() != "use1-c" || d.GetCustomerId() != string(theirs) || d.GetSlot() != uint32(id.Slot()) || d.GetEpoch() < 4 {
				t.Errorf("%s: a customer overridden away: %v", cause, d)
			}
		}
		if n, _ := notes(t, db, theirs); n != 0 {
			t.Errorf("%d rows of a customer overridden away", n)
		}
	}
	if n, _ := notes(t, db, mine); n != 2*len(writes) {
		t.Errorf("%d rows of a customer overridden to this cell", n)
	}
}

// wrong cell that an error tells.
func wrong(t *testing.T, err error) *problemv1.WrongCell {
	t.Helper()
	d, ok := problem.Detail[*problemv1.WrongCell](err)
	if !ok || !problem.Is(err, fence.ReasonWrongCell) {
		t.Fatalf("got %v, want WRONG_CELL", err)
	}
	return d
}

func TestAGroupWithAnOverriddenCustomerKeepsNobodyElse(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := append(customers(t, db, 40), neighbours(3)...)
	away, to := who[41], who[42]
	assign(t, db, away, me)
	if err := override(t.Context(), db, away, map[ident.CustomerID]string{away: peer, to: me}); err != nil {
		t.Fatal(err)
	}
	for i, err := range joinAll(t, f, who, func(int) string { return "group" }) {
		if (who[i] == away) != problem.Is(err, fence.ReasonWrongCell) {
			t.Errorf("%d is told %v", i, err)
		}
		if n, _ := notes(t, db, who[i]); (who[i] == away) != (n == 0) {
			t.Errorf("%d has %d rows", i, n)
		}
	}
}

// A write that has to wait for a change of the overrides is decided by what they are then.
func TestAWriteThatMeetsAChangeOfOverridesSeesTheNewOnes(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			db := sqldbtest.New(t, sqldb.Customer)
			f := newFence(t, db, everythingIs(me))
			who := neighbours(2)
			away, back := who[0], who[1]
			assign(t, db, away, me)
			if err := override(t.Context(), db, away, map[ident.CustomerID]string{back: peer}); err != nil {
				t.Fatal(err)
			}
			told := make([]error, len(who))
			var all sync.WaitGroup
			err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
				if err := override(t.Context(), tx, away, map[ident.CustomerID]string{away: peer}); err != nil {
					return err
				}
				for i, id := range who {
					all.Go(func() { told[i] = write(t.Context(), f, id, "meets") })
				}
				awaitBlocked(t, db)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			all.Wait()
			if d := wrong(t, told[0]); d.GetOwner() != peer || d.GetCustomerId() != string(away) {
				t.Errorf("got %v", d)
			}
			if told[1] != nil && wrong(t, told[1]).GetOwner() != peer { // who served it until then
				t.Errorf("the customer whose override was taken away: %v", told[1])
			}
			if err := write(t.Context(), f, back, "afterwards"); err != nil {
				t.Errorf("the customer whose override was taken away: %v", err)
			}
		})
	}
}

// Who is refused while the customer goes to and fro is told so, and by nothing else: between a guard that fails and the look
// at the slot that explains it, the customer may have come back.
func TestAWriteOfACustomerThatGoesToAndFroIsDoneOrRedirected(t *testing.T) {
	const turns, writesOfEach = 400, 100
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := neighbours(1)[0]
	assign(t, db, who, me)
	written := make(map[string]*int, len(writes))
	var all sync.WaitGroup
	over := make(chan struct{})
	for name, write := range writes {
		n := new(int)
		written[name] = n
		all.Go(func() {
			for turn := 0; turn < writesOfEach || *n == 0; turn++ {
				select {
				case <-over:
					return
				default:
				}
				switch err := write(t.Context(), f, who, name+" "+strconv.Itoa(turn)); {
				case err == nil:
					*n++
				case !problem.Is(err, fence.ReasonWrongCell):
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	for turn := range turns {
		to := map[ident.CustomerID]string{who: peer}
		if turn%2 == 1 {
			to = nil
		}
		if err := override(t.Context(), db, who, to); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	all.Wait()
	sum := 0
	for _, n := range written {
		sum += *n
	}
	if n, _ := notes(t, db, who); n != sum {
		t.Errorf("%d rows, %d writes were answered with success", n, sum)
	}
}

func TestCheckTellsAnOverrideFromAnOwner(t *testing.T) {
	id, other := ident.NewCustomer("use1"), ident.NewCustomer("use1")
	f, err := fence.New(fence.Deps{Cell: me, Region: home, Owners: everythingIs(peer), Overridden: func(c ident.CustomerID) bool { return c == id }})
	if err != nil {
		t.Fatal(err)
	}
	if got := wrong(t, f.Check(t.Context(), id)).GetCustomerId(); got != string(id) {
		t.Errorf("of an overridden customer it names %q", got)
	}
	if got := wrong(t, f.Check(t.Context(), other)).GetCustomerId(); got != "" {
		t.Errorf("of another it names %q", got)
	}
}
