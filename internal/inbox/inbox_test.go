package inbox_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

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
