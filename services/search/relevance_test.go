package search

import (
	"context"
	"os"
	"testing"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/relevance"
	"github.com/cellar-commerce/cellar/internal/seed"
)

const (
	judgedAt = 10
	// relevanceFloor is a little below what the engine reaches on the products and judgements of testdata. Raise it with what makes the
	// ranking better; what makes it worse for a reason changes a judgement or says the reason here.
	relevanceFloor = 0.84
)

func opened(t *testing.T) Engine {
	t.Helper()
	e, err := NewBleve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// judged products, each changed, in an engine that is asked as a shopper asks, unless the queries are changed too.
type judged struct {
	product func(*catalogv1.Product)
	query   func(*Query)
}

// asked is an engine whose queries are changed before it sees them.
type asked struct {
	Engine
	change func(*Query)
}

func (a asked) Search(ctx context.Context, q Query) (Results, error) {
	a.change(&q)
	return a.Engine.Search(ctx, q)
}

func (j judged) measure(t *testing.T, e Engine) relevance.Report {
	t.Helper()
	products, err := os.Open("testdata/products.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer products.Close()
	judgements, err := os.Open("testdata/judgements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer judgements.Close()
	var all []*catalogv1.Product
	for p, err := range seed.ParseImport(products) {
		if err != nil {
			t.Fatal(err)
		}
		if j.product != nil {
			j.product(p)
		}
		all = append(all, p)
	}
	if err := e.Index(all); err != nil {
		t.Fatal(err)
	}
	parsed, err := relevance.Parse(judgements)
	if err != nil {
		t.Fatal(err)
	}
	if j.query != nil {
		e = asked{e, j.query}
	}
	r, err := Judge(t.Context(), e, parsed, judgedAt)
	if err != nil || len(all) != 64 || len(r.Queries) != 15 {
		t.Fatalf("%d products and %d queries: %v", len(all), len(r.Queries), err)
	}
	return r
}

func TestWhatIsLookedForStandsFirst(t *testing.T) {
	r := judged{}.measure(t, opened(t))
	for _, q := range r.Queries {
		t.Logf("%-30s %.3f", q.Query, q.NDCG)
	}
	if t.Logf("%-30s %.3f", "on average", r.NDCG); r.NDCG < relevanceFloor {
		t.Errorf("NDCG@%d is %.3f, below %.2f", judgedAt, r.NDCG, relevanceFloor)
	}
}

// The floor is worth something only while rankings that are known to be worse stand below it.
func TestABrokenRankingIsBelowTheFloor(t *testing.T) {
	by := func(s searchv1.Sort) judged { return judged{query: func(q *Query) { q.Sort = s }} }
	for name, j := range map[string]judged{
		"by price":                    by(searchv1.Sort_SORT_PRICE_ASCENDING),
		"by popularity":               by(searchv1.Sort_SORT_POPULARITY),
		"with titles that say little": {product: func(p *catalogv1.Product) { p.Title = "Thing" }},
		"without brands":              {product: func(p *catalogv1.Product) { p.Brand = "" }},
		"by the first four letters":   {query: func(q *Query) { q.Words = q.Words[:4] }},
	} {
		if r := j.measure(t, opened(t)); r.NDCG >= relevanceFloor {
			t.Errorf("%s NDCG@%d is %.3f, and the floor is %.2f", name, judgedAt, r.NDCG, relevanceFloor)
		}
	}
	title := boosts[0]
	t.Cleanup(func() { boosts[0] = title })
	if boosts[0].boost = 0; title.field != fieldTitle {
		t.Fatal("titles are not the first field any more")
	}
	if r := (judged{}).measure(t, opened(t)); r.NDCG >= relevanceFloor {
		t.Errorf("with titles that do not count NDCG@%d is %.3f, and the floor is %.2f", judgedAt, r.NDCG, relevanceFloor)
	}
}

// Equal texts are told apart by how many buy a product, and by Prime: what should be first of them is not first by SKU.
func TestTiesAreJudgedToo(t *testing.T) {
	ties := map[string]func(*catalogv1.Product){
		"yoga mat":  func(p *catalogv1.Product) { p.Popularity = 0 },
		"desk lamp": func(p *catalogv1.Product) { p.Prime = false },
	}
	found := 0
	for query, blind := range ties {
		whole, without := judged{}.measure(t, opened(t)), judged{product: blind}.measure(t, opened(t))
		for i, q := range whole.Queries {
			if q.Query != query {
				continue
			}
			if found++; q.NDCG <= without.Queries[i].NDCG {
				t.Errorf("%s: %.3f, and %.3f without what tells the products apart", query, q.NDCG, without.Queries[i].NDCG)
			}
		}
	}
	if found != len(ties) {
		t.Errorf("%d of %d ties are judged", found, len(ties))
	}
}
