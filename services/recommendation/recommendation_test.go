package recommendation

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheRatioIsDunningsAndNothingForWhatChanceExplains(t *testing.T) {
	// G² of a 2×2 table by its definition: twice the sum of observed times the logarithm of observed over expected.
	byDefinition := func(together, a, b, all float64) float64 {
		sum := 0.0
		for _, cell := range [][3]float64{{together, a, b}, {a - together, a, all - b}, {b - together, all - a, b}, {all - a - b + together, all - a, all - b}} {
			if cell[0] > 0 {
				sum += cell[0] * math.Log(cell[0]*all/(cell[1]*cell[2]))
			}
		}
		return 2 * sum
	}
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.Int64Range(1, 1e6).Draw(t, "all")
		a, b := rapid.Int64Range(0, all).Draw(t, "a"), rapid.Int64Range(0, all).Draw(t, "b")
		together := rapid.Int64Range(max(0, a+b-all), min(a, b)).Draw(t, "together")
		got := llr(together, a, b, all)
		want := 0.0
		if float64(together)*float64(all) > float64(a)*float64(b) {
			want = byDefinition(float64(together), float64(a), float64(b), float64(all))
		}
		if math.Abs(got-want) > 1e-4*max(1, want) {
			t.Fatalf("got %f, want %f", got, want)
		}
		if mirrored := llr(together, b, a, all); math.Abs(mirrored-got) > 1e-6*max(1, got) {
			t.Fatalf("mirrored it is %f, not %f", mirrored, got)
		}
	})
}

func TestWhatIsBoughtTogetherIsFoundAndWhatEverybodyBuysIsNot(t *testing.T) {
	var baskets [][]string
	for i := range 100 {
		basket := []string{"bag"} // everybody has one
		switch i % 4 {
		case 0:
			basket = append(basket, "pen", "ink")
		case 1:
			basket = append(basket, "cup")
		}
		baskets = append(baskets, basket)
	}
	m := Train(slices.Values(baskets))
	if got := m.others["pen"]; len(got) != 1 || got[0].GetSku() != "ink" {
		t.Errorf("with a pen goes %v", got)
	}
	if len(m.others["bag"]) != 0 || len(m.others["cup"]) != 0 || m.Baskets != 100 || m.Products() != 2 {
		t.Errorf("the model is %v", m.others)
	}
}

func TestRecommendationsBeatPopularityWhereThereIsStructure(t *testing.T) {
	e := Evaluate(Planted{Seed: 7, Customers: 4000, Products: 600, Groups: 30, Strayed: 0.2}.Baskets())
	if e.Customers < 3000 || e.Model.HitRate < 2*e.Popularity.HitRate || e.Model.NDCG < 2*e.Popularity.NDCG || e.Popularity.HitRate == 0 {
		t.Errorf("got %+v", e)
	}
	// Where there is none, nothing can be found.
	if e := Evaluate(Planted{Seed: 7, Customers: 4000, Products: 600, Groups: 30, Strayed: 1}.Baskets()); e.Model.HitRate > e.Popularity.HitRate {
		t.Errorf("without structure: %+v", e)
	}
}

func TestQualityIsAsDefined(t *testing.T) {
	var q Quality
	for _, place := range []int{0, 2, -1} {
		q.judge(place)
	}
	if q.HitRate != 2 || math.Abs(q.NDCG-1.5) > 1e-9 { // 1/log2(2) + 1/log2(4)
		t.Errorf("got %+v", q)
	}
}

func TestABasketCountsItsLatestProductsOnce(t *testing.T) {
	if got := latest([]string{"a", "b", "a", "c"}); !slices.Equal(got, []string{"b", "a", "c"}) {
		t.Errorf("got %v", got)
	}
	var long []string
	for i := range maxBasket + 3 {
		long = append(long, fmt.Sprint(i))
	}
	if got := latest(long); len(got) != maxBasket || got[0] != "3" || got[maxBasket-1] != fmt.Sprint(maxBasket+2) {
		t.Errorf("got %v", got)
	}
}

// world is the service on a database to which a model is published.
func world(t *testing.T) (*Service, *sqldb.DB) {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Global)
	return New(Deps{DB: db}), db
}

func modelOf(others map[string][]string) *Model {
	m := &Model{others: map[string][]*recommendationv1.Recommended{}}
	for sku, all := range others {
		for i, other := range all {
			m.others[sku] = append(m.others[sku], &recommendationv1.Recommended{Sku: other, Score: float64(10 - i)})
		}
	}
	return m
}

func skus(all []*recommendationv1.Recommended) (names []string) {
	for _, r := range all {
		names = append(names, r.GetSku())
	}
	return names
}

func TestWhatIsPublishedIsServedAndReplacesWhatWasThere(t *testing.T) {
	s, db := world(t)
	at := time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)
	must(t, modelOf(map[string][]string{"a": {"b", "c"}, "d": {"c"}, "x": {"y"}, "z": {"y"}}).Publish(t.Context(), db, at))
	product := func(sku string) []string {
		resp, err := s.ForProduct(t.Context(), &recommendationv1.ForProductRequest{Sku: sku})
		must(t, err)
		return skus(resp.GetRecommended())
	}
	if got := product("a"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("with a: %v", got)
	}
	each, err := s.BatchForProduct(t.Context(), &recommendationv1.BatchForProductRequest{Skus: []string{"d", "a", "nothing", "a"}, Limit: 1})
	must(t, err)
	if got := each.GetOthers(); len(got) != 2 || !slices.Equal(skus(got["a"].GetOthers()), []string{"b"}) || !slices.Equal(skus(got["d"].GetOthers()), []string{"c"}) {
		t.Errorf("with each of a and d: %v", got)
	}
	cart, err := s.ForCart(t.Context(), &recommendationv1.ForCartRequest{Skus: []string{"a", "d", "a"}, Limit: 1})
	must(t, err)
	if got := skus(cart.GetRecommended()); !slices.Equal(got, []string{"c"}) || cart.GetRecommended()[0].GetScore() != 19 {
		t.Errorf("with a and d: %v", cart)
	}
	home, err := s.ForHome(t.Context(), &recommendationv1.ForHomeRequest{Skus: []string{"a", "c"}})
	must(t, err)
	if got := skus(home.GetRecommended()); !slices.Equal(got, []string{"b"}) {
		t.Errorf("with a and c, of which one is there already: %v", got)
	}
	if _, err := s.ForCart(t.Context(), &recommendationv1.ForCartRequest{Skus: []string{"a b"}}); !problem.Is(err, "INVALID_FIELDS") {
		t.Errorf("got %v", err)
	}
	must(t, modelOf(nil).Publish(t.Context(), db, at.Add(time.Minute))) // knows nothing
	if got := product("x"); len(got) != 1 {
		t.Errorf("with x: %v", got)
	}
	must(t, modelOf(map[string][]string{"a": {"e"}, "m": {"n"}}).Publish(t.Context(), db, at.Add(time.Hour)))
	for sku, want := range map[string][]string{"a": {"e"}, "m": {"n"}, "d": nil, "x": nil, "z": nil, "nothing": nil} {
		if got := product(sku); !slices.Equal(got, want) {
			t.Errorf("with %s: %v, want %v", sku, got, want)
		}
	}
}

func TestALargeModelIsPublishedInBatches(t *testing.T) {
	s, db := world(t)
	at := time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)
	for round, from := range []int{0, publishBatch / 2} { // the second has others
		others := map[string][]string{}
		for i := range publishBatch*2 + 1 {
			others[fmt.Sprintf("p%05d", from+i)] = []string{"x"}
		}
		must(t, modelOf(others).Publish(t.Context(), db, at.Add(time.Duration(round)*time.Hour)))
	}
	for n, want := range map[int]int{0: 0, publishBatch/2 - 1: 0, publishBatch / 2: 1, publishBatch*2 + publishBatch/2: 1} {
		resp, err := s.ForProduct(t.Context(), &recommendationv1.ForProductRequest{Sku: fmt.Sprintf("p%05d", n)})
		must(t, err)
		if len(resp.GetRecommended()) != want {
			t.Errorf("product %d has %d, want %d", n, len(resp.GetRecommended()), want)
		}
	}
}

func TestTheHistoryIsThatOfPaidOrdersByCustomer(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	ada, bo := ident.NewCustomer("use1"), ident.NewCustomer("euc1")
	put := func(who ident.CustomerID, status string, minute int, skus ...string) {
		id := ident.NewOrder(who.Ring())
		must(t, db.ExecText(context.Background(), fmt.Sprintf(`INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, discount_minor_units, shipping_minor_units,
			tax_minor_units, shipping_tax_minor_units, total_minor_units, ship_to, placed_at) VALUES ('%s', '%s', '%s', '%s', 1, 'USD', 0, 0, 0, 0, 0, 0, '', '2031-05-04 12:%02d:00+00')`, who.Region(), id, who, status, minute)))
		for i, sku := range skus {
			must(t, db.ExecText(context.Background(), fmt.Sprintf(`INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units, discount_minor_units, tax_minor_units)
				VALUES ('%s', '%s', %d, '%s', 't', 1, 0, 0, 0)`, who.Region(), id, i+1, sku)))
		}
	}
	put(ada, "SHIPPED", 2, "c")
	put(ada, "PAID", 1, "a", "b")
	put(ada, "FAILED", 3, "d")
	put(bo, "PAID", 1, "x")
	var failed error
	var got []string
	for basket := range History(t.Context(), db, &failed) {
		got = append(got, strings.Join(basket, " "))
	}
	if failed != nil || !slices.Equal(got, []string{"a b c", "x"}) {
		t.Errorf("got %q, %v", got, failed)
	}
	for range History(t.Context(), db, &failed) {
		break // who has enough reads no more
	}
	must(t, failed)
	db.Close()
	for range History(t.Context(), db, &failed) {
		t.Error("a closed database has a history")
	}
	if failed == nil {
		t.Error("nothing is said of it")
	}
}

func TestAHistoryFileIsRead(t *testing.T) {
	got, err := ParseHistory(strings.NewReader("customer,sku\nada,a\nbo, x ,2031-05-04\n\nada,b\n"))
	must(t, err)
	if len(got) != 2 || !slices.Equal(got[0], []string{"a", "b"}) || !slices.Equal(got[1], []string{"x"}) {
		t.Errorf("got %v", got)
	}
	for _, bad := range []string{"ada", "ada,", ",a", "ada,a b", "ada,b\ncustomer,sku x", strings.Repeat("a", maxLine+1)} {
		if _, err := ParseHistory(strings.NewReader(bad)); err == nil {
			t.Errorf("%.20q is read", bad)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	for _, s := range []string{"", "customer,sku\n", "a,b\na,c,d\n", ",", "a,\xff", "\r\na,b\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		baskets, err := ParseHistory(strings.NewReader(s))
		for _, basket := range baskets {
			if err != nil || len(basket) == 0 || slices.ContainsFunc(basket, func(sku string) bool { return !validSKU(sku) }) {
				t.Errorf("%q is read as %q, %v", s, basket, err)
			}
		}
	})
}
