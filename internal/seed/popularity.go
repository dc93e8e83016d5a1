package seed

import "math"

const (
	// maxPopularity is the catalogue's.
	maxPopularity = 1_000_000
	// zipfExponent of the sales by rank; a little below 1, as shops with a long tail see it.
	zipfExponent = 0.9
	// zipfScale lets about the best of ten thousand reach the maximum.
	zipfScale = 250
)

// popularity of the article that stands at a share u of the list of best sellers: near 0 sells most, 1 least.
// By Zipf's law sales fall with the power zipfExponent of the rank.
func popularity(u float64) int32 {
	// Float64 gives 0 once in 2^53; the best seller then.
	sold := zipfScale * (math.Pow(max(u, 1e-9), -zipfExponent) - 1)
	return int32(min(maxPopularity, sold))
}

// standing undoes popularity: 0 for the best seller, 1 for what nobody buys.
func standing(popularity int32) float64 {
	return math.Pow(float64(max(0, popularity))/zipfScale+1, -1/zipfExponent)
}
