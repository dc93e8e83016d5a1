package recommendation

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
)

const (
	// maxBasket is how many of a customer's latest products count: pairs grow with its square, and who bought thousands
	// says little about any two.
	maxBasket = 50
	// maxPairs are counted at once: some 1.5 GB. When there are more, those that were seen once are forgotten.
	maxPairs = 20_000_000
	// leastTogether customers have to have bought both: one is an accident.
	leastTogether = 2
	// significant ratios are those that chance explains in less than one of a thousand: chi-square, one degree of freedom.
	significant = 10.83
	// maxOthers of a product are kept.
	maxOthers = 20
	maxSKU    = 64
)

// Model is what training has found.
type Model struct {
	// others of each product, the best first.
	others map[string][]*recommendationv1.Recommended
	// counts of customers who bought a product.
	counts map[string]int64
	// Baskets that were read.
	Baskets int64
}

// Products that have companions.
func (m *Model) Products() int { return len(m.others) }

// Train a model on baskets: what each customer bought, the latest last. A product counts once in a basket.
func Train(baskets iter.Seq[[]string]) *Model {
	c := counter{ids: map[string]uint32{}, pairs: map[uint64]uint32{}}
	for basket := range baskets {
		c.add(latest(basket))
	}
	m := &Model{others: map[string][]*recommendationv1.Recommended{}, counts: make(map[string]int64, len(c.skus)), Baskets: c.baskets}
	for i, sku := range c.skus {
		m.counts[sku] = int64(c.counts[i])
	}
	for pair, together := range c.pairs {
		a, b := uint32(pair>>32), uint32(pair)
		if together < leastTogether {
			continue
		}
		ratio := llr(int64(together), int64(c.counts[a]), int64(c.counts[b]), c.baskets)
		if ratio < significant {
			continue
		}
		m.others[c.skus[a]] = append(m.others[c.skus[a]], &recommendationv1.Recommended{Sku: c.skus[b], Score: math.Sqrt(ratio)})
		m.others[c.skus[b]] = append(m.others[c.skus[b]], &recommendationv1.Recommended{Sku: c.skus[a], Score: math.Sqrt(ratio)})
	}
	for sku, all := range m.others {
		m.others[sku] = best(all, maxOthers)
	}
	return m
}

// counter of products and of pairs.
type counter struct {
	ids     map[string]uint32
	skus    []string
	counts  []uint32
	pairs   map[uint64]uint32
	baskets int64
}

func (c *counter) add(basket []string) {
	c.baskets++
	in := make([]uint32, len(basket))
	for i, sku := range basket {
		id, known := c.ids[sku]
		if !known {
			id = uint32(len(c.skus))
			c.ids[sku], c.skus, c.counts = id, append(c.skus, sku), append(c.counts, 0)
		}
		c.counts[id]++
		in[i] = id
	}
	for i, a := range in {
		for _, b := range in[:i] {
			c.pairs[uint64(min(a, b))<<32|uint64(max(a, b))]++
		}
	}
	if len(c.pairs) > maxPairs {
		for pair, n := range c.pairs {
			if n < leastTogether {
				delete(c.pairs, pair)
			}
		}
	}
}

// latest products of a basket, each once, in the order of their last purchase.
func latest(basket []string) []string {
	seen := make(map[string]bool, len(basket))
	var kept []string
	for _, sku := range slices.Backward(basket) {
		if len(kept) == maxBasket {
			break
		}
		if !seen[sku] {
			seen[sku] = true
			kept = append(kept, sku)
		}
	}
	slices.Reverse(kept)
	return kept
}

// llr is the log-likelihood ratio of two products: how much better the counts are explained by one depending on the other
// than by chance. together of all baskets have both, a and b have one and the other. 0 when they are bought together less
// often than chance would have it.
//
// T. Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence", Computational Linguistics 19 (1993),
// pp. 61-74: twice the mutual information of the table of counts, times their sum.
func llr(together, a, b, all int64) float64 {
	k := [4]float64{float64(together), float64(a - together), float64(b - together), float64(all - a - b + together)}
	if k[0]*k[3] <= k[1]*k[2] {
		return 0
	}
	rows, columns := entropy(k[0]+k[1], k[2]+k[3]), entropy(k[0]+k[2], k[1]+k[3])
	return max(0, 2*(rows+columns-entropy(k[:]...)))
}

// entropy of counts, not divided by their sum, in nats.
func entropy(counts ...float64) float64 {
	var sum, terms float64
	for _, k := range counts {
		sum += k
		terms += xlogx(k)
	}
	return xlogx(sum) - terms
}

func xlogx(x float64) float64 {
	if x <= 0 {
		return 0
	}
	return x * math.Log(x)
}

// best of some, the highest score first; of equal ones the first by name, so that training twice gives the same.
func best(all []*recommendationv1.Recommended, n int) []*recommendationv1.Recommended {
	slices.SortFunc(all, func(a, b *recommendationv1.Recommended) int {
		return cmp.Or(cmp.Compare(b.GetScore(), a.GetScore()), strings.Compare(a.GetSku(), b.GetSku()))
	})
	return all[:min(len(all), n)]
}

// blend what goes with some products, without those that the shopper has.
func blend(of, without []string, others func(sku string) []*recommendationv1.Recommended, n int) []*recommendationv1.Recommended {
	scores := map[string]float64{}
	for _, sku := range of {
		for _, other := range others(sku) {
			scores[other.GetSku()] += other.GetScore()
		}
	}
	var all []*recommendationv1.Recommended
	for sku, score := range scores {
		if !slices.Contains(without, sku) {
			all = append(all, &recommendationv1.Recommended{Sku: sku, Score: score})
		}
	}
	return best(all, n)
}

// validSKU as the catalogue has it.
func validSKU(s string) bool {
	return s != "" && len(s) <= maxSKU && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	}) < 0
}
