package seed_test

import (
	"testing"

	"github.com/cellar-commerce/cellar/internal/seed"
)

func TestSomeProductsHaveJustBecomeCheaper(t *testing.T) {
	n := 0
	for p := range seed.Products(5000, 1) {
		was := seed.FormerPrice(p, 1)
		if was == nil {
			continue
		}
		n++
		if off := 100 - 100*float64(p.GetPrice().GetMinorUnits())/float64(was.GetMinorUnits()); off < 14.9 || off > 60 {
			t.Errorf("%s fell from %v to %v, by %.1f %%", p.GetSku(), was, p.GetPrice(), off)
		}
	}
	if n < 15 || n > 60 {
		t.Errorf("%d of 5,000", n)
	}
}
