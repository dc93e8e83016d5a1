package storefront

import (
	"context"
	"errors"
	"slices"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

const (
	// related products of a page: one row of cards.
	related = 6
	// browsed of a category to find them: the product's own family is left out.
	browsed = 2 * related
	// maxAsked products are asked for in one call.
	maxAsked = 200
)

// composer makes pages of what other services have.
type composer struct {
	catalog         catalogv1connect.CatalogServiceClient
	reviews         reviewv1connect.ReviewServiceClient
	recommendations recommendationv1connect.RecommendationServiceClient
}

// parts that pages are made of.
type parts struct {
	opinions map[string]*reviewv1.Opinion
	also     map[string]*recommendationv1.AlsoBought
	// popular products, by category.
	popular map[string][]*catalogv1.Product
	// others are what is bought together with the pages' products.
	others  map[string]*catalogv1.Product
	ratings map[string]*reviewv1.Rating
	// families of the pages' products, by name.
	families map[string][]*catalogv1.Product
	// offers by other sellers, by what they are of.
	offers map[string][]*storefrontv1.Offer
	// histories of prices, of the pages' products and of those beside them.
	histories map[string]*catalogv1.PriceHistory
	// lacking parts, as a sentence names them, and what failed.
	lacking []string
	err     error
}

// compose the pages of products, in no promised order; without those that do not exist. Lacking tells of what could not be
// found out about them: no reason not to show them.
func (c composer) compose(ctx context.Context, skus []string) (all []*storefrontv1.Page, lacking, err error) {
	products, err := c.products(ctx, skus)
	if err != nil || len(products) == 0 {
		return nil, nil, err
	}
	have := c.gather(ctx, products)
	for _, product := range products {
		sku := product.GetSku()
		page := &storefrontv1.Page{Product: product, Opinion: have.opinions[sku], Related: have.related(product), Lacking: have.lacking}
		for _, r := range have.also[sku].GetOthers() {
			if other := have.others[r.GetSku()]; other != nil {
				page.AlsoBought = append(page.AlsoBought, have.card(other))
			}
		}
		if product.GetWithdrawnAt() == nil {
			page.Reduction = reductionOf(product.GetPrice(), have.histories[sku])
			page.Variants, page.Offers = variantsOf(product, have.families[product.GetFamily()]), have.offers[sku]
		}
		all = append(all, page)
	}
	return all, have.err, nil
}

// gather what pages are made of. What does not answer is lacking, and no more is asked for that depends on it.
func (c composer) gather(ctx context.Context, products []*catalogv1.Product) (have parts) {
	skus, categories, families := make([]string, len(products)), []string{}, []string{}
	for i, product := range products {
		skus[i] = product.GetSku()
		if product.GetFamily() != "" {
			families = append(families, product.GetFamily())
		}
		categories = append(categories, strings.Join(product.GetCategoryPath(), levels))
	}
	opinions, noOpinions := c.reviews.BatchGetOpinions(ctx, &reviewv1.BatchGetOpinionsRequest{Skus: skus})
	also, noOthers := c.recommendations.BatchForProduct(ctx, &recommendationv1.BatchForProductRequest{Skus: skus, Limit: recommendations})
	have = parts{opinions: opinions.GetOpinions(), also: also.GetOthers(), popular: map[string][]*catalogv1.Product{}, others: map[string]*catalogv1.Product{}, ratings: map[string]*reviewv1.Rating{}}
	have.lacks("reviews", noOpinions)
	have.lacks("recommendations", noOthers)
	var err error
	have.families, err = c.families(ctx, families)
	have.lacks("sizes and colours", err)
	have.offers, err = c.offers(ctx, skus)
	have.lacks("other sellers", err)

	var cards []string
	for _, product := range products {
		if product.GetWithdrawnAt() != nil {
			cards = append(cards, skusOf(have.families[product.GetFamily()])...)
		}
	}
	slices.Sort(categories)
	for _, category := range slices.Compact(categories) {
		resp, err := c.catalog.BrowseCategory(ctx, &catalogv1.BrowseCategoryRequest{Category: category, PageSize: browsed})
		have.lacks("related products", err)
		have.popular[category] = resp.GetProducts()
		cards = append(cards, skusOf(resp.GetProducts())...)
	}
	var others []string
	for _, with := range have.also {
		for _, r := range with.GetOthers() {
			others = append(others, r.GetSku())
		}
	}
	found, err := c.products(ctx, others)
	have.lacks("recommendations", err)
	for _, product := range forSale(found) {
		have.others[product.GetSku()] = product
		cards = append(cards, product.GetSku())
	}
	have.histories, err = c.histories(ctx, append(cards, skus...))
	have.lacks("former prices", err)
	have.lacks("ratings", c.rate(ctx, cards, have.ratings))
	return have
}

// lacks a part, if there is an error.
func (have *parts) lacks(part string, err error) {
	have.err = errors.Join(have.err, err)
	if err != nil && !slices.Contains(have.lacking, part) {
		have.lacking = append(have.lacking, part)
	}
}

// related to a page's product: what is popular in its category, without its family, which stands among the choices. One that is
// withdrawn has no choices: its family is the first of what there is instead.
func (have parts) related(to *catalogv1.Product) (cards []*storefrontv1.Card) {
	var all []*catalogv1.Product
	if to.GetWithdrawnAt() != nil {
		all = slices.Clone(have.families[to.GetFamily()])
	}
	for _, p := range have.popular[strings.Join(to.GetCategoryPath(), levels)] {
		if p.GetSku() != to.GetSku() && !ofOneFamily(p, to) {
			all = append(all, p)
		}
	}
	for _, p := range all[:min(len(all), related)] {
		cards = append(cards, have.card(p))
	}
	return cards
}

// card of a product beside a page's.
func (have parts) card(p *catalogv1.Product) *storefrontv1.Card {
	return packCard(p, have.ratings[p.GetSku()], reductionOf(p.GetPrice(), have.histories[p.GetSku()]))
}

// histories of prices that have changed, by SKU.
func (c composer) histories(ctx context.Context, skus []string) (map[string]*catalogv1.PriceHistory, error) {
	all := map[string]*catalogv1.PriceHistory{}
	for chunk := range slices.Chunk(once(skus), maxAsked) {
		resp, err := c.catalog.ListPriceHistories(ctx, &catalogv1.ListPriceHistoriesRequest{Skus: chunk})
		if err != nil {
			return nil, err
		}
		for _, h := range resp.GetHistories() {
			all[h.GetSku()] = h
		}
	}
	return all, nil
}

// families by name.
func (c composer) families(ctx context.Context, names []string) (map[string][]*catalogv1.Product, error) {
	all := map[string][]*catalogv1.Product{}
	for chunk := range slices.Chunk(once(names), maxAsked) {
		resp, err := c.catalog.ListFamilies(ctx, &catalogv1.ListFamiliesRequest{Families: chunk})
		if err != nil {
			return nil, err
		}
		for _, p := range resp.GetProducts() {
			all[p.GetFamily()] = append(all[p.GetFamily()], p)
		}
	}
	return all, nil
}

// offers by other sellers, by the SKU of what they are of.
func (c composer) offers(ctx context.Context, skus []string) (map[string][]*storefrontv1.Offer, error) {
	resp, err := c.catalog.ListOffers(ctx, &catalogv1.ListOffersRequest{Skus: skus})
	all := map[string][]*storefrontv1.Offer{}
	for _, o := range resp.GetOffers() {
		all[o.GetOfferOf()] = append(all[o.GetOfferOf()], &storefrontv1.Offer{Sku: o.GetSku(), Seller: o.GetSeller(), Condition: o.GetCondition(), Price: o.GetPrice(), Prime: o.GetPrime()})
	}
	return all, err
}

func ofOneFamily(a, b *catalogv1.Product) bool {
	return a.GetFamily() != "" && a.GetFamily() == b.GetFamily()
}

// variantsOf a product among its family; none when it is alone.
func variantsOf(p *catalogv1.Product, family []*catalogv1.Product) (all []*storefrontv1.Variant) {
	if len(family) < 2 {
		return nil
	}
	for _, one := range family {
		v := &storefrontv1.Variant{Sku: one.GetSku(), Prime: one.GetPrime()}
		for _, name := range p.GetVariesBy() {
			v.Values = append(v.Values, one.GetAttributes()[name])
		}
		all = append(all, v)
	}
	return all
}

// products that exist.
func (c composer) products(ctx context.Context, skus []string) (all []*catalogv1.Product, err error) {
	for chunk := range slices.Chunk(once(skus), maxAsked) {
		resp, err := c.catalog.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: chunk})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetProducts()...)
	}
	return all, nil
}

func (c composer) rate(ctx context.Context, skus []string, into map[string]*reviewv1.Rating) error {
	for chunk := range slices.Chunk(once(skus), maxAsked) {
		resp, err := c.reviews.BatchGetRatings(ctx, &reviewv1.BatchGetRatingsRequest{Skus: chunk})
		if err != nil {
			return err
		}
		for _, r := range resp.GetRatings() {
			into[r.GetSku()] = r
		}
	}
	return nil
}

// once each, sorted.
func once(skus []string) []string {
	skus = slices.Clone(skus)
	slices.Sort(skus)
	return slices.Compact(skus)
}

// packCard of a product, with what its reviews say and what it cost before.
func packCard(p *catalogv1.Product, by *reviewv1.Rating, from *storefrontv1.Reduction) *storefrontv1.Card {
	c := &storefrontv1.Card{Reduction: from, Family: p.GetFamily(), Sku: p.GetSku(), Title: p.GetTitle(), Brand: p.GetBrand(), Picture: picture(p.GetSku(), p.GetImageUrls()...), Price: p.GetPrice(), Prime: p.GetPrime(), Withdrawn: p.GetWithdrawnAt() != nil}
	if by.GetReviews() > 0 {
		c.Rating = by
	}
	return c
}

// nearSKUs are those of the products whose cards a page shows.
func nearSKUs(page *storefrontv1.Page) []string {
	var skus []string
	for _, cards := range [][]*storefrontv1.Card{page.GetRelated(), page.GetAlsoBought()} {
		for _, c := range cards {
			skus = append(skus, c.GetSku())
		}
	}
	return once(skus)
}

func skusOf(products []*catalogv1.Product) []string {
	skus := make([]string, len(products))
	for i, p := range products {
		skus[i] = p.GetSku()
	}
	return skus
}
