package storefront

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

// choices of one thing that a family's products differ in: its size, say.
type choices struct {
	Name   string
	Values []variant
}

// variant is a choice: the product that has this value, and otherwise the most of what the page's product has.
type variant struct {
	Value, Link string
	Chosen      bool
	// SoldOut everywhere, as far as this region knows.
	SoldOut bool
	Prime   bool
}

// choicesOf a page's product. A value that no product has together with the page's other values leads to the first that has it.
func choicesOf(p *catalogv1.Product, variants []*storefrontv1.Variant, soldOut map[string]bool) []choices {
	at := slices.IndexFunc(variants, func(v *storefrontv1.Variant) bool { return v.GetSku() == p.GetSku() })
	if at < 0 {
		return nil
	}
	own := variants[at]
	var all []choices
	for n, name := range p.GetVariesBy() {
		group := choices{Name: titled(name)}
		best := map[string]*storefrontv1.Variant{}
		for _, v := range variants {
			value := v.GetValues()[n]
			if have := best[value]; value != "" && (have == nil || alike(v, own) > alike(have, own)) {
				best[value] = v
			}
		}
		for value, v := range best {
			group.Values = append(group.Values, variant{Value: value, Link: productLink(v.GetSku()), Chosen: value == own.GetValues()[n], SoldOut: soldOut[v.GetSku()], Prime: v.GetPrime()})
		}
		slices.SortFunc(group.Values, func(a, b variant) int { return inOrder(a.Value, b.Value) })
		if len(group.Values) > 1 {
			all = append(all, group)
		}
	}
	return all
}

// alike tells how many values two variants share.
func alike(a, b *storefrontv1.Variant) (n int) {
	for i, value := range a.GetValues() {
		if value == b.GetValues()[i] {
			n++
		}
	}
	return n
}

// sizes as people order them; other values are ordered as numbers where both are, and else by their letters.
var sizes = []string{"XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL"}

func inOrder(a, b string) int {
	i, j := slices.Index(sizes, a), slices.Index(sizes, b)
	if i >= 0 && j >= 0 {
		return i - j
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// soldOut tells of a page's product and of what it lets one choose from what no fulfilment centre has. It is no reason to fail a
// page: what is not known is not said.
func (s *Service) soldOut(ctx context.Context, page *storefrontv1.Page) map[string]bool {
	if len(page.GetVariants())+len(page.GetOffers()) == 0 {
		return nil
	}
	skus := []string{page.GetProduct().GetSku()}
	for _, v := range page.GetVariants() {
		skus = append(skus, v.GetSku())
	}
	for _, o := range page.GetOffers() {
		skus = append(skus, o.GetSku())
	}
	return s.soldOutOf(ctx, skus)
}

// soldOutOf products: those that no fulfilment centre has.
func (s *Service) soldOutOf(ctx context.Context, skus []string) map[string]bool {
	if len(skus) == 0 {
		return nil
	}
	resp, err := s.deps.Stock.ListSummaries(ctx, &inventoryv1.ListSummariesRequest{Skus: once(skus)})
	if err != nil {
		s.deps.Log.WarnContext(ctx, "products are shown without their stock", "error", err)
		return nil
	}
	out := map[string]bool{}
	for _, one := range resp.GetSummaries() {
		if _, known := out[one.GetSku()]; !known {
			out[one.GetSku()] = true
		}
		if slices.ContainsFunc(one.GetFcs(), func(b byte) bool { return b != 0 }) {
			out[one.GetSku()] = false
		}
	}
	return out
}
