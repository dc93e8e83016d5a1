package seed

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// currency of all prices.
const currency = "USD"

// primeShare of the products is Prime, whatever else is drawn of them.
const primeShare = 0.4

// Products of a generated catalogue. The first n of a seed are the same however many are asked for.
func Products(n int, seed uint64) iter.Seq[*catalogv1.Product] {
	return func(yield func(*catalogv1.Product) bool) {
		for i := range n {
			if !yield(product(i, seed)) {
				return
			}
		}
	}
}

func product(i int, seed uint64) *catalogv1.Product {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	k := &kinds[r.IntN(len(kinds))]
	sku := skuOf(i, seed)
	d := draw{noun: pick(r, k.nouns), brand: pick(r, brands), series: pick(r, series), model: 100 + 10*r.IntN(90), colour: pick(r, k.colours), material: pick(r, k.material), size: pick(r, k.sizes)}
	first := r.IntN(len(k.features))
	d.features = []string{k.features[first]}
	if r.IntN(2) == 0 {
		d.features = append(d.features, k.features[(first+1+r.IntN(len(k.features)-1))%len(k.features)])
	}
	return &catalogv1.Product{
		Sku: sku, Title: d.title(), Description: d.describe(pick(r, k.uses)), Brand: d.brand, CategoryPath: slices.Clone(k.path),
		Price: money.USD(price(r, k.low, k.high)).Proto(), ImageUrls: []string{"https://images.cellar.example/" + sku + ".jpg"},
		Attributes: d.attributes(), WeightGrams: k.grams[0] + r.Int64N(k.grams[1]-k.grams[0]+1), Popularity: popularity(r.Float64()),
		Prime: unit(hash("prime/"+sku, seed)) < primeShare,
	}
}

// draw is what was drawn for one product.
type draw struct {
	noun, brand, series    string
	model                  int
	features               []string
	colour, material, size string
}

func (d draw) title() string {
	parts := []string{fmt.Sprintf("%s %s %d %s", d.brand, d.series, d.model, d.noun)}
	for _, detail := range []string{strings.Join(d.features, ", "), d.size, d.colour} {
		if detail != "" {
			parts = append(parts, detail)
		}
	}
	return strings.Join(parts, ", ")
}

func (d draw) describe(use string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The %s %d by %s: %s that %s.", d.series, d.model, d.brand, article(d.noun), use)
	fmt.Fprintf(&b, " Made of %s", d.material)
	if d.colour != "" {
		fmt.Fprintf(&b, ", in %s", strings.ToLower(d.colour))
	}
	if d.size != "" {
		fmt.Fprintf(&b, ", size %s", d.size)
	}
	fmt.Fprintf(&b, ". %s.", strings.Join(d.features, ", "))
	return b.String()
}

// article puts "a", "an" or nothing before a noun.
func article(noun string) string {
	lower := strings.ToLower(noun)
	switch {
	case strings.HasSuffix(lower, "s") && !strings.HasSuffix(lower, "ss"):
		return lower
	case strings.ContainsRune("aeiou", rune(lower[0])):
		return "an " + lower
	default:
		return "a " + lower
	}
}

func (d draw) attributes() map[string]string {
	all := map[string]string{"series": d.series, "model": fmt.Sprint(d.model), "material": d.material}
	if d.colour != "" {
		all["colour"] = d.colour
	}
	if d.size != "" {
		all["size"] = d.size
	}
	return all
}

func pick(r *rand.Rand, from []string) string {
	if len(from) == 0 {
		return ""
	}
	return from[r.IntN(len(from))]
}

// price between two bounds, more often near the lower one, ending the way prices do.
func price(r *rand.Rand, low, high int64) int64 {
	u := r.Float64()
	dollars := int64(float64(low)*math.Pow(float64(high)/float64(low), u*u)) / 100
	return max(dollars, 1)*100 + []int64{99, 99, 99, 49, 0}[r.IntN(5)]
}

var upperBase32 = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

const (
	// skuBits of an index fit the eight characters behind "B0".
	skuBits = 40
	// skuStep is odd, so that multiplying by it mixes the indexes up without two of them meeting.
	skuStep = 0x9E3779B97F4A7C15
)

func skuOf(i int, seed uint64) string {
	n := ((uint64(i) + 1) * skuStep) ^ (seed * 0xD6E8FEB86659FD93)
	n &= 1<<skuBits - 1
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return "B0" + upperBase32.EncodeToString(b[3:])
}

// hash of a text, mixed with a seed.
func hash(text string, seed uint64) uint64 { return xxhash.Sum64String(text) ^ (seed * skuStep) }
