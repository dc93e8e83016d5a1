package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestLevelsChangeFromNoneToSomeAndWithEachFactorOfFour(t *testing.T) {
	last := -1
	var changes []int64
	for n := range int64(1100) {
		if l := level(n); l != last {
			last, changes = l, append(changes, n)
		}
	}
	if want := []int64{0, 1, 4, 16, 64, 256, 1024}; !slices.Equal(changes, want) {
		t.Errorf("levels change at %v, want %v", changes, want)
	}
	if level(-1) != 0 {
		t.Error("less than nothing is nothing")
	}
}

func TestEachCenterHasALevelOfItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var levels []byte
		want := map[int]int{}
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			n, l := rapid.IntRange(0, 20).Draw(t, "fc"), rapid.IntRange(0, 20).Draw(t, "level")
			levels, want[n] = withLevel(levels, n, l), min(l, maxLevel)
		}
		for n := range 22 {
			if got := levelAt(levels, n); got != want[n] {
				t.Fatalf("FC %d has level %d, want %d", n, got, want[n])
			}
		}
	})
}

const there ident.Region = "us-west-2"

// mail is what lies in the outbox and was not yet delivered.
type mail struct{ region, destination, subject, payload string }

// takeMail empties the outbox.
func takeMail(t reporter, db *sqldb.DB) (all []mail) {
	t.Helper()
	rows, err := db.QueryText(context.Background(), "DELETE FROM outbox RETURNING region::text, destination, subject, encode(payload, 'hex')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var m mail
		if err := rows.Scan(&m.region, &m.destination, &m.subject, &m.payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func unhex(t reporter, text string) []byte {
	t.Helper()
	var out []byte
	if _, err := fmt.Sscanf(text, "%x", &out); err != nil && text != "" {
		t.Fatal(err)
	}
	return out
}

// summaryWorld is two regions that tell each other.
type summaryWorld struct {
	db    *sqldb.DB
	clock *clock.Manual
	at    map[ident.Region]*Service
}

func newSummaryWorld(db *sqldb.DB) summaryWorld {
	w := summaryWorld{db: db, clock: clock.NewManual(opened), at: map[ident.Region]*Service{}}
	for _, region := range []ident.Region{here, there} {
		w.at[region] = New(Deps{
			DB: db, Region: region, Regions: []ident.Region{here, there}, FC: regionOf, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
			Swept: func(ctx context.Context) []string { return allCenters(ctx, db) },
			Ordinal: func(_ context.Context, fc string) (n int, ok bool) {
				_, err := fmt.Sscanf(fc[3:], "%d", &n)
				return n, err == nil
			},
		})
	}
	return w
}

// deliver messages to the regions they are for: what one gets of a kind, at once.
func (w summaryWorld) deliver(t reporter, all ...mail) {
	t.Helper()
	touched, summarized := map[ident.Region][][]byte{}, map[ident.Region][][]byte{}
	for _, m := range all {
		to, batch := ident.Region(m.destination), summarized
		if m.subject == SubjectTouched(to) {
			batch = touched
		}
		batch[to] = append(batch[to], unhex(t, m.payload))
	}
	for to, s := range w.at {
		if err := s.Touched(context.Background(), touched[to]...); err != nil {
			t.Fatal(err)
		}
		if err := s.Summarized(context.Background(), summarized[to]...); err != nil {
			t.Fatal(err)
		}
	}
}

// However events are delayed, doubled and put out of order: once all have come, both regions know exactly which FCs have
// some, and about how much.
func TestSummariesAreRightOnceAllEventsHaveCome(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	rapid.Check(t, func(t *rapid.T) {
		w, ctx := newSummaryWorld(db), context.Background()
		sqldbtest.Texts(t, db, "TRUNCATE stock_summaries, inventory, inventory_events, reservations, outbox")
		home, skus := w.at[here], []string{"ale", "cider"}
		var late []mail
		t.Repeat(map[string]func(*rapid.T){
			"restock": func(t *rapid.T) {
				fc, sku := fmt.Sprint("iad", rapid.IntRange(0, 20).Draw(t, "fc")), rapid.SampledFrom(skus).Draw(t, "sku")
				req := &inventoryv1.RestockRequest{FcId: fc, DeliveryId: ident.NewToken(), Lines: []*inventoryv1.RestockLine{{Sku: sku, Quantity: rapid.Int64Range(1, 9).Draw(t, "units")}}}
				if _, err := home.Restock(ctx, req); err != nil {
					t.Fatal(err)
				}
			},
			"sell": func(t *rapid.T) {
				fc, sku := fmt.Sprint("iad", rapid.IntRange(0, 20).Draw(t, "fc")), rapid.SampledFrom(skus).Draw(t, "sku")
				_, _ = home.Reserve(ctx, &inventoryv1.ReserveRequest{
					FcId: fc, OrderId: newOrder(), Partial: true, ExpiresAt: timestamppb.New(w.clock.Now().Add(time.Minute)),
					Lines: wants(sku, rapid.IntRange(1, 9).Draw(t, "units")),
				}) // it may be sold out
			},
			"time passes": func(t *rapid.T) {
				w.clock.Advance(time.Minute)
				if _, err := home.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
			},
			"some mail comes": func(t *rapid.T) {
				late = rapid.Permutation(append(late, takeMail(t, db)...)).Draw(t, "order")
				for len(late) > 0 && rapid.IntRange(0, 3).Draw(t, "more") > 0 {
					n := rapid.IntRange(1, len(late)).Draw(t, "at once")
					w.deliver(t, late[:n]...)
					if rapid.IntRange(0, 3).Draw(t, "again") > 0 {
						late = late[n:]
					}
				}
			},
		})
		for late = append(late, takeMail(t, db)...); len(late) > 0; late = takeMail(t, db) {
			w.deliver(t, late...)
		}
		w.check(t, skus)
	})
}

// check both regions' summaries of the first one's stock.
func (w summaryWorld) check(t reporter, skus []string) {
	t.Helper()
	for region, s := range w.at {
		check, err := s.CheckSummaries(context.Background(), here)
		if err != nil {
			t.Fatal(err)
		}
		if check.Empty+check.Missing+check.Misjudged > 0 || check.ErrorRate() != 0 {
			t.Fatalf("%s has summaries that are wrong: %+v", region, check)
		}
		resp, err := s.ListSummaries(context.Background(), &inventoryv1.ListSummariesRequest{Skus: skus})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range resp.GetSummaries() {
			var units int64
			if _, err := fmt.Sscan(sqldbtest.Texts(t, w.db, "SELECT coalesce(sum(available), 0)::text FROM inventory WHERE region = 'us-east-1' AND sku = $1", one.GetSku())[0], &units); err != nil {
				t.Fatal(err)
			}
			if a, b := one.GetUnits(), units; a > 16*max(b, 1) || b > 16*max(a, 1) {
				t.Fatalf("%s thinks that there are %d of %s, there are %d", region, a, one.GetSku(), b)
			}
		}
	}
}

func TestOpeningStockIsSummarizedEverywhere(t *testing.T) {
	w := newSummaryWorld(sqldbtest.New(t, sqldb.Regional))
	var all []Stock
	var skus []string
	for i := range 700 {
		sku := fmt.Sprint("sku-", i)
		skus = append(skus, sku)
		all = append(all, Stock{FC: fmt.Sprint("iad", i%9), SKU: sku, Quantity: 5}, Stock{FC: "iad20", SKU: sku, Quantity: 1})
	}
	if err := w.at[here].Open(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.deliver(t, takeMail(t, w.db)...)
	for region, s := range w.at {
		check, err := s.CheckSummaries(t.Context(), here)
		if want := (SummaryCheck{Region: here, Bits: 1400}); err != nil || check != want {
			t.Errorf("%s: %+v, %v", region, check, err)
		}
	}
	w.check(t, skus[:200])
}

func TestACheckSeesBitsThatAreWrong(t *testing.T) {
	w := newSummaryWorld(sqldbtest.New(t, sqldb.Regional))
	if err := w.at[here].Open(t.Context(), []Stock{{"iad1", "ale", 3}, {"iad2", "ale", 3}, {"iad3", "ale", 3}}); err != nil {
		t.Fatal(err)
	}
	wrong := &inventoryv1.StockSummarized{Summaries: []*inventoryv1.StockSummary{{Sku: "ale", Region: string(here), Fcs: withBit(withBit(nil, 1), 9), Units: 4, Version: 99}}}
	payload, err := proto.Marshal(wrong)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.at[there].Summarized(t.Context(), payload); err != nil {
		t.Fatal(err)
	}
	check, err := w.at[there].CheckSummaries(t.Context(), here)
	if want := (SummaryCheck{Region: here, Bits: 2, Empty: 1, Missing: 2, Misjudged: 1}); err != nil || check != want {
		t.Errorf("%+v, %v", check, err)
	}
	if rate := check.ErrorRate(); rate != 0.75 {
		t.Errorf("the error rate is %v", rate)
	}
}
