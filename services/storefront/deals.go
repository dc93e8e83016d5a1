package storefront

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

const (
	// reductionLife is how long after a price has fallen that is said of it.
	reductionLife = 14 * 24 * time.Hour
	// leastReduction of a price, in per cent, that is spoken of.
	leastReduction = 10
	// maxDeals are kept of reductions, the newest: ten pages.
	maxDeals = 10 * pageSize
	// maxPromoted categories are looked through for what promotions take something off, and pageSize products of each.
	maxPromoted = 8
	// frontDeals on the front page: one row of cards.
	frontDeals = 6
	// dealsFresh and dealsStale: as what is popular.
	dealsFresh = likedFresh
	dealsStale = likedStale
)

// saving is what a price is below.
type saving struct {
	// Was the lowest price of the thirty days before, for people.
	Was string
	// Percent below it, rounded down.
	Percent int64
	// AtCheckout tells that it is a promotion's, taken off there.
	AtCheckout bool
}

// deal is a product that costs less than it did.
type deal struct {
	card
	family string
	// until when; zero for no end.
	until time.Time
}

// deals of a region, the greatest saving first.
type deals struct {
	all []deal
	// reduced by SKU: those whose own price has fallen.
	reduced map[string]deal
	// front shelf of as many as there are still.
	front same[int, template.HTML]
}

// at a time: those that are not over.
func (d *deals) at(now time.Time) []card {
	var cards []card
	for _, d := range d.all {
		if d.until.IsZero() || now.Before(d.until) {
			cards = append(cards, d.card)
		}
	}
	return cards
}

// lowest price of the window before a time, of those that are past; nil when none is known.
func lowest(h *catalogv1.PriceHistory, before time.Time) *moneyv1.Money {
	for _, p := range h.GetPast() { // they rise
		if p.GetUntil().AsTime().After(before.Add(-money.ReductionWindow)) {
			return p.GetPrice()
		}
	}
	return nil
}

// percentBelow is how much less a price is than another, in per cent, rounded down.
func percentBelow(now, was *moneyv1.Money) int64 {
	if was.GetMinorUnits() <= 0 || was.GetCurrencyCode() != now.GetCurrencyCode() {
		return 0
	}
	return max(0, (was.GetMinorUnits()-now.GetMinorUnits())*100/was.GetMinorUnits())
}

// reductionOf a price by its history; nil when it has not fallen, or by too little to speak of.
func reductionOf(cost *moneyv1.Money, h *catalogv1.PriceHistory) *storefrontv1.Reduction {
	was := lowest(h, h.GetChangedAt().AsTime())
	if percentBelow(cost, was) < leastReduction {
		return nil
	}
	return &storefrontv1.Reduction{Was: was, Since: h.GetChangedAt()}
}

// savingOf a reduction of a price; nil when there is none any more.
func savingOf(cost *moneyv1.Money, r *storefrontv1.Reduction, now time.Time) *saving {
	if r == nil || !now.Before(r.GetSince().AsTime().Add(reductionLife)) {
		return nil
	}
	return &saving{Was: price(r.GetWas()), Percent: percentBelow(cost, r.GetWas())}
}

// findDeals of the region: what its rows have, and what promotions take something off.
func (s *Service) findDeals(ctx context.Context, _ struct{}) (*deals, error) {
	packed, err := s.deps.Pages.Deals(ctx)
	if err != nil {
		return nil, err
	}
	now, found := s.deps.Clock.Now(), &deals{reduced: map[string]deal{}}
	for i, c := range packedCards(packed, now) {
		d := deal{card: c, family: packed[i].GetFamily(), until: packed[i].GetReduction().GetSince().AsTime().Add(reductionLife)}
		if c.Saving != nil {
			found.all, found.reduced[c.SKU] = append(found.all, d), d
		}
	}
	promoted, err := s.promoted(ctx)
	if err != nil {
		s.deps.Log.WarnContext(ctx, "deals are shown without promotions", "error", err)
	}
	found.all = append(found.all, promoted...)
	slices.SortStableFunc(found.all, func(a, b deal) int { return cmp.Compare(b.Saving.Percent, a.Saving.Percent) })
	seen := map[string]bool{}
	found.all = slices.DeleteFunc(found.all, func(d deal) bool {
		again := seen[d.SKU] || (d.family != "" && seen["family/"+d.family])
		seen[d.SKU], seen["family/"+d.family] = true, true
		return again
	})
	cards := make([]card, len(found.all))
	for i, d := range found.all {
		cards[i] = d.card
	}
	s.rate(ctx, cards)
	for i := range cards {
		found.all[i].card = cards[i]
	}
	return found, nil
}

// promoted products: the most popular of what promotions that are in force are for.
func (s *Service) promoted(ctx context.Context) ([]deal, error) {
	resp, err := s.deps.Checkout.ListPromotions(ctx, &checkoutv1.ListPromotionsRequest{})
	if err != nil {
		return nil, err
	}
	var all []deal
	looked := 0
	for _, p := range resp.GetPromotions() {
		categories := p.GetCategories()
		if len(categories) == 0 {
			categories = []string{""} // everything
		}
		for _, category := range categories {
			if looked++; looked > maxPromoted {
				return all, nil
			}
			found, err := s.promotedIn(ctx, p, category)
			if err != nil {
				return all, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// promotedIn a category. What a promotion leaves of a price is told by the lowest of the thirty days before it began, and never by more
// than the price is now.
func (s *Service) promotedIn(ctx context.Context, p *checkoutv1.Promotion, category string) ([]deal, error) {
	found, err := s.deps.Search.Search(ctx, &searchv1.SearchRequest{Category: category, PageSize: pageSize, Sort: searchv1.Sort_SORT_POPULARITY})
	if err != nil {
		return nil, err
	}
	skus := make([]string, len(found.GetHits()))
	for i, h := range found.GetHits() {
		skus[i] = h.GetSku()
	}
	past, err := s.deps.Catalog.ListPriceHistories(ctx, &catalogv1.ListPriceHistoriesRequest{Skus: skus})
	if err != nil {
		return nil, err
	}
	histories := map[string]*catalogv1.PriceHistory{}
	for _, h := range past.GetHistories() {
		histories[h.GetSku()] = h
	}
	var all []deal
	for i, c := range hitCards(found.GetHits()) {
		cost := found.GetHits()[i].GetPrice()
		was, left := cost, &moneyv1.Money{CurrencyCode: cost.GetCurrencyCode(), MinorUnits: cost.GetMinorUnits() - money.PercentOf(cost.GetMinorUnits(), p.GetPercentBasisPoints())}
		percent := int64(p.GetPercentBasisPoints()) / 100
		if low := lowest(histories[c.SKU], p.GetValidFrom().AsTime()); low != nil && low.GetMinorUnits() < was.GetMinorUnits() {
			was, percent = low, percentBelow(left, low)
		}
		c.Price, c.Saving = price(left), &saving{Was: price(was), Percent: percent, AtCheckout: true}
		d := deal{card: c}
		if end := p.GetValidUntil(); end != nil {
			d.until = end.AsTime()
		}
		if c.Saving.Percent > 0 {
			all = append(all, d)
		}
	}
	return all, nil
}

// standing deals, at this moment.
func (s *Service) standing(ctx context.Context) ([]card, error) {
	found, err := s.deals.Get(ctx, struct{}{}, s.findDeals)
	if err != nil {
		return nil, err
	}
	return found.at(s.deps.Clock.Now()), nil
}

// topDeals as the front page shows them.
func (s *Service) topDeals(ctx context.Context) (template.HTML, error) {
	found, err := s.deals.Get(ctx, struct{}{}, s.findDeals)
	if err != nil {
		return "", err
	}
	cards := found.at(s.deps.Clock.Now())
	return found.front.get(len(cards), func() (template.HTML, error) { return s.shelf(cards[:min(len(cards), frontDeals)]) })
}

// reduce tells of those cards whose price has fallen what it was; it is no reason to fail a page.
func (s *Service) reduce(ctx context.Context, lists ...[]card) {
	found, err := s.deals.Get(ctx, struct{}{}, s.findDeals)
	if err != nil {
		return
	}
	now := s.deps.Clock.Now()
	for _, cards := range lists {
		for i, c := range cards {
			// Of another price it would not be true: one of the two is older.
			if d, is := found.reduced[c.SKU]; is && d.Price == c.Price && now.Before(d.until) {
				cards[i].Saving = d.Saving
			}
		}
	}
}

// dealsPage shows all deals, some at a time.
func (s *Service) dealsPage(w http.ResponseWriter, r *http.Request) error {
	all, err := s.standing(r.Context())
	if err != nil {
		return err
	}
	c := s.chromeOf(r)
	c.Canonical, c.Description = "/deals", "What costs less than it did."
	from := 0
	if page := r.URL.Query().Get("page"); page != "" {
		n, err := strconv.Atoi(page)
		if err != nil || n < 2 || n-1 > (len(all)-1)/pageSize {
			return notFound()
		}
		from, c.Canonical = (n-1)*pageSize, "/deals?page="+strconv.Itoa(n)
	}
	end, next := min(from+pageSize, len(all)), ""
	if end < len(all) {
		next = "/deals?page=" + strconv.Itoa(end/pageSize+1)
	}
	return s.draw(w, r, http.StatusOK, "deals", struct {
		Chrome chrome
		Cards  []card
		Total  int
		Next   string
	}{c, all[from:end], len(all), next})
}
