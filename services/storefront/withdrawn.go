package storefront

import (
	"net/http"
	"slices"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// forSale are those of some products that are not withdrawn.
func forSale(products []*catalogv1.Product) []*catalogv1.Product {
	return slices.DeleteFunc(slices.Clone(products), func(p *catalogv1.Product) bool { return p.GetWithdrawnAt() != nil })
}

// gone is what a product's page shows once it is withdrawn: what it was, and where to go on.
func (s *Service) gone(w http.ResponseWriter, r *http.Request, p *shownProduct) error {
	c := s.chromeOf(r)
	c.NoIndex = true
	return s.draw(w, r, http.StatusGone, "gone", struct {
		Chrome chrome
		*shownProduct
		// Category that it was in.
		Category crumb
		Reviews  string
	}{c, p, p.Crumbs[len(p.Crumbs)-1], productLink(p.Product.GetSku()) + "/reviews"})
}
