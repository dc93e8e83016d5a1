package recommendation

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
)

// evaluatedAt is the length of the lists that are judged.
const evaluatedAt = 10

// Quality of lists of ten: the share of customers whose last purchase is in theirs, and how far up it stands on average
// (normalized discounted cumulative gain: 1 for the first place, falling with the logarithm of the place, 0 for none).
type Quality struct {
	HitRate float64 `json:"hit_rate_at_10"`
	NDCG    float64 `json:"ndcg_at_10"`
}

// Evaluation of a model against what is merely popular, on last purchases that neither has seen.
type Evaluation struct {
	Customers  int64   `json:"customers"`
	Model      Quality `json:"model"`
	Popularity Quality `json:"popularity"`
}

// Evaluate holds out the last product of each basket that has two or more, trains on the rest, and looks for it among the
// ten that go with what is left; products that the customer has are not recommended, by either.
func Evaluate(baskets [][]string) Evaluation {
	var kept [][]string
	for _, basket := range baskets {
		kept = append(kept, latest(basket))
	}
	m := Train(func(yield func([]string) bool) {
		for _, basket := range kept {
			if len(basket) > 1 {
				basket = basket[:len(basket)-1]
			}
			if !yield(basket) {
				return
			}
		}
	})
	popular := m.popular()
	var e Evaluation
	for _, basket := range kept {
		if len(basket) < 2 {
			continue
		}
		e.Customers++
		has, last := basket[:len(basket)-1], basket[len(basket)-1]
		list := blend(has, has, func(sku string) []*recommendationv1.Recommended { return m.others[sku] }, evaluatedAt)
		e.Model.judge(slices.IndexFunc(list, func(r *recommendationv1.Recommended) bool { return r.GetSku() == last }))
		place := 0
		for _, sku := range popular {
			if sku == last {
				e.Popularity.judge(place)
				break
			}
			if !slices.Contains(has, sku) {
				if place++; place == evaluatedAt {
					break
				}
			}
		}
	}
	if e.Customers > 0 {
		for _, q := range []*Quality{&e.Model, &e.Popularity} {
			q.HitRate, q.NDCG = q.HitRate/float64(e.Customers), q.NDCG/float64(e.Customers)
		}
	}
	return e
}

// judge a list in which what was looked for stands at a place from 0, or nowhere.
func (q *Quality) judge(place int) {
	if place >= 0 {
		q.HitRate++
		q.NDCG += 1 / math.Log2(float64(place)+2)
	}
}

// popular products, the most popular first: as many as any list could need.
func (m *Model) popular() []string {
	skus := make([]string, 0, len(m.counts))
	for sku := range m.counts {
		skus = append(skus, sku)
	}
	slices.SortFunc(skus, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.counts[b], m.counts[a]), strings.Compare(a, b))
	})
	return skus[:min(len(skus), maxBasket+evaluatedAt)]
}

// Planted is a history with structure: products belong to groups, customers like few groups, and buy from them or, now and
// then, what is popular.
type Planted struct {
	Seed                        uint64
	Customers, Products, Groups int
	// Strayed is the share of purchases that have nothing to do with the customer's groups.
	Strayed float64
}

const (
	// likes of a planted customer, and purchases, at least and at most.
	leastLikes, mostLikes   = 1, 2
	leastBought, mostBought = 2, 8
	// skew of popularity: of n products the one at share u of the way has the rank n·u^skew.
	skew = 3
)

// Baskets of a planted history; the same seed gives the same.
func (p Planted) Baskets() [][]string {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	pick := func(n int) int { return int(float64(n) * math.Pow(r.Float64(), skew)) }
	perGroup := p.Products / p.Groups
	baskets := make([][]string, p.Customers)
	for i := range baskets {
		likes := make([]int, leastLikes+r.IntN(mostLikes-leastLikes+1))
		for j := range likes {
			likes[j] = r.IntN(p.Groups)
		}
		for range leastBought + r.IntN(mostBought-leastBought+1) {
			product := pick(p.Products) // popular products are of all groups: group is the rest of the number
			if r.Float64() >= p.Strayed {
				product = pick(perGroup)*p.Groups + likes[r.IntN(len(likes))]
			}
			baskets[i] = append(baskets[i], fmt.Sprintf("P%06d", product))
		}
	}
	return baskets
}
