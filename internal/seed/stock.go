package seed

import (
	"math/rand/v2"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Line of opening stock.
type Line struct {
	FC       string
	Region   ident.Region
	Quantity int64
}

// Shares of products, in a thousand: sold out, and scarce (one to five units in all).
const (
	soldOut = 10
	scarce  = 30
)

// Shares of the list of best sellers, by standing. They give about eleven lines of stock a product over a catalogue.
const (
	bestSellers   = 0.2
	steadySellers = 0.5
)

// Stock of a product on the first day: in many centres what is popular, in few the long tail. The same product and seed
// give the same stock.
func Stock(p *catalogv1.Product, seed uint64) []Line {
	r := rand.New(rand.NewPCG(hash(p.GetSku(), seed), seed))
	all := centers()
	n, low, high := spread(r, p.GetPopularity())
	lines := make([]Line, 0, n)
	for _, i := range r.Perm(len(all))[:n] {
		lines = append(lines, Line{FC: all[i].ID, Region: all[i].Region, Quantity: low + r.Int64N(high-low+1)})
	}
	return lines
}

// spread gives the number of centres, and the bounds of the units in each.
func spread(r *rand.Rand, popularity int32) (centers int, low, high int64) {
	switch share := r.IntN(1000); {
	case share < soldOut:
		return 0, 0, 0
	case share < soldOut+scarce:
		return 1 + r.IntN(2), 1, 2
	case standing(popularity) <= bestSellers:
		return 20 + r.IntN(21), 50, 400
	case standing(popularity) <= steadySellers:
		return 8 + r.IntN(13), 10, 120
	default:
		return 1 + r.IntN(4), 3, 40
	}
}
