package storefront

import (
	"cmp"
	"slices"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

// offer to sell a page's product: the shop's own, new, or another seller's.
type offer struct {
	SKU string
	// Seller is empty for the shop itself.
	Seller    string
	Condition string
	Price     *moneyv1.Money
	SoldOut   bool
	Prime     bool

	rank catalogv1.Condition
}

// offersOf a page's product, the best first: what is in stock before what is sold out, then by condition, then by price, then the
// shop's own. The page sells the first, and lists the others.
func offersOf(page *storefrontv1.Page, soldOut map[string]bool) []offer {
	p := page.GetProduct()
	all := []offer{{SKU: p.GetSku(), Price: p.GetPrice(), Prime: p.GetPrime(), rank: catalogv1.Condition_CONDITION_NEW}}
	for _, o := range page.GetOffers() {
		all = append(all, offer{SKU: o.GetSku(), Seller: o.GetSeller(), Price: o.GetPrice(), Prime: o.GetPrime(), rank: o.GetCondition()})
	}
	for i := range all {
		all[i].SoldOut, all[i].Condition = soldOut[all[i].SKU], conditionOf(all[i].rank)
	}
	slices.SortStableFunc(all, func(a, b offer) int {
		if a.SoldOut != b.SoldOut {
			if a.SoldOut {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Price.GetMinorUnits(), b.Price.GetMinorUnits()))
	})
	return all
}

// conditionOf a unit, for people: "Like new".
func conditionOf(c catalogv1.Condition) string {
	return titled(strings.ToLower(strings.TrimPrefix(c.String(), "CONDITION_")))
}
