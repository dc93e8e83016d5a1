package inbox_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const home = ident.Region("us-east-1")

func first(t *testing.T, tx sqldb.Tx, region ident.Region, consumer, id string) (bool, error) {
	return inbox.First(t.Context(), tx, region, inbox.Message{Consumer: consumer, ID: id}, clock.System{}.Now())
}

// take a message in a transaction of its own.
func take(t *testing.T, db *sqldb.DB, region ident.Region, consumer, id string) (took bool) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx sqldb.Tx) (err error) {
		took, err = first(t, tx, region, consumer, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return took
}

func TestAMessageIsTheFirstOnceForEachConsumerAndRegion(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	for _, c := range []struct {
		region       ident.Region
		consumer, id string
		want         bool
	}{
		{home, "fulfillment", "m1", true},
		{home, "fulfillment", "m1", false},
		{home, "fulfillment", "m2", true},
		{home, "inventory", "m1", true},
		{"us-west-2", "fulfillment", "m1", true},
		{home, "inventory", "m1", false},
	} {
		if got := take(t, db, c.region, c.consumer, c.id); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestAMessageWhoseEffectIsRolledBackIsTheFirstAgain(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	failed := errors.New("the effect failed")
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		if took, err := first(t, tx, home, "orders", "m1"); !took || err != nil {
			t.Errorf("got %v, %v", took, err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if !take(t, db, home, "orders", "m1") {
		t.Error("its effect is lost")
	}
}

func TestTwinsAtOnceTakeEffectOnce(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	var firsts atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			took := false
			err := db.InTx(t.Context(), func(tx sqldb.Tx) (err error) {
				took, err = first(t, tx, home, "orders", "m1")
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if took {
				firsts.Add(1)
			}
		})
	}
	wg.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("%d of 16 twins were the first", n)
	}
}

// sweep one whole round.
func sweep(t *testing.T, db *sqldb.DB, now time.Time) (gone int64) {
	t.Helper()
	var s inbox.Sweep
	for {
		n, err := s.Next(t.Context(), db, home, now)
		if err != nil {
			t.Fatal(err)
		}
		gone += n
		if s == (inbox.Sweep{}) {
			return gone
		}
	}
}

func TestRowsAreSweptOnceNoMessageCanComeAgain(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	begin := clock.System{}.Now()
	const n = inbox.SweepPage + 10 // two pages
	receive := func(consumer string, region ident.Region, at time.Time) {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("m/%05d", i)
		}
		var b sqldb.Batch
		inbox.QueueAll(&b, region, consumer, ids, at)
		if err := db.Send(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	receive("old", home, begin)
	receive("young", home, begin.Add(time.Hour))
	receive("old", "us-west-2", begin)
	for _, c := range []struct {
		after time.Duration
		gone  int64
	}{{inbox.Keep, 0}, {inbox.Keep + time.Minute, n}, {inbox.Keep + time.Minute, 0}, {inbox.Keep + 2*time.Hour, n}} {
		if got := sweep(t, db, begin.Add(c.after)); got != c.gone {
			t.Errorf("after %v: %d are gone, want %d", c.after, got, c.gone)
		}
	}
	if take(t, db, "us-west-2", "old", "m/00000") {
		t.Error("another region's row is gone")
	}
}
