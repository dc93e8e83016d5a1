package seed

import (
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// reduced is how many products there are for each whose price has just fallen.
const reduced = 150

// FormerPrice of a generated product that has just become cheaper, by 15 to 40 per cent; nil for most.
func FormerPrice(p *catalogv1.Product, seed uint64) *moneyv1.Money {
	h := hash(p.GetSku(), seed)
	if h%reduced != 0 {
		return nil
	}
	off := 15 + int64(h/reduced%26)
	dollars := p.GetPrice().GetMinorUnits() / (100 - off)
	return money.USD(dollars*100 + 99).Proto()
}
