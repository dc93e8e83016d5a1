package storefront

import (
	"cmp"
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// seenCookie has the products looked at last.
	seenCookie = "cellar_seen"
	maxSeen    = 8
	seenFor    = 30 * 24 * time.Hour
	// pageSize of a list of products: full rows of two, three, four and six.
	pageSize = 24
	// maxQuery in bytes, as the search service takes it.
	maxQuery = 200
	// popular products of the front page.
	popular = 12
	// likedFresh and likedStale: who looks within five minutes of the last waits for no search.
	likedFresh = 30 * time.Second
	likedStale = 5*time.Minute - likedFresh
	// suggestions while typing.
	suggestions = 8
	// frontCategories on the front page.
	frontCategories = 16
)

// frontPage is what everybody's front page is made of.
type frontPage struct {
	popular, deals template.HTML
	tops           *topCategories
}

// topCategories of the tree, the largest first.
type topCategories struct{ all []crumb }

// home shows what is popular, what there is, and what was looked at last. What does not answer is left out, and said to be missing, unless
// nothing would be left.
func (s *Service) home(w http.ResponseWriter, r *http.Request) error {
	ctx, c := r.Context(), s.chromeOf(r)
	c.Canonical, c.Description = "/", "Find it, and have it at your door."
	liked, unliked := s.liked.Get(ctx, struct{}{}, s.findPopular)
	tops, topless := s.tops.Get(ctx, struct{}{}, s.topLevels)
	if unliked != nil && topless != nil {
		return unliked
	}
	reduced, unreduced := s.topDeals(ctx)
	seen, unseen := s.seen(r)
	forYou, unknown := s.forYou(ctx, seen)
	c.without("what is popular", unliked)
	c.without("the categories", topless)
	c.without("deals", unreduced)
	c.without("what you looked at", unseen)
	c.without("recommendations", unknown)
	s.rate(ctx, seen, forYou)
	s.reduce(ctx, seen, forYou)
	render := func() (drawnPage, error) {
		var categories []crumb
		if tops != nil {
			categories = tops.all
		}
		return s.render("home", struct {
			Chrome         chrome
			Deals, Popular template.HTML
			Seen, ForYou   []card
			Categories     []crumb
		}{c, reduced, liked, seen, forYou, categories})
	}
	page, err := s.front.getIf(c.plain() && len(seen)+len(c.Missing) == 0, frontPage{liked, reduced, tops}, render)
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, page)
	return nil
}

// findPopular products.
func (s *Service) findPopular(ctx context.Context, _ struct{}) (template.HTML, error) {
	found, err := s.deps.Search.Search(ctx, &searchv1.SearchRequest{PageSize: popular, Sort: searchv1.Sort_SORT_POPULARITY})
	if err != nil {
		return "", err
	}
	cards := hitCards(found.GetHits())
	s.rate(ctx, cards)
	s.reduce(ctx, cards)
	return s.shelf(cards)
}

// topLevels of the category tree.
func (s *Service) topLevels(ctx context.Context, _ struct{}) (*topCategories, error) {
	resp, err := s.deps.Catalog.ListCategories(ctx, &catalogv1.ListCategoriesRequest{})
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, c := range resp.GetCategories() {
		top, _, _ := strings.Cut(c.GetPath(), levels)
		sizes[top] += c.GetProducts()
	}
	var tops []crumb
	for top := range sizes {
		tops = append(tops, crumb{Name: top, Link: categoryLink(top)})
	}
	slices.SortFunc(tops, func(a, b crumb) int {
		return cmp.Or(cmp.Compare(sizes[b.Name], sizes[a.Name]), strings.Compare(a.Name, b.Name))
	})
	return &topCategories{tops[:min(len(tops), frontCategories)]}, nil
}

// seen lately by this browser.
func (s *Service) seen(r *http.Request) ([]card, error) {
	skus := seenSKUs(r)
	if len(skus) == 0 {
		return nil, nil
	}
	resp, err := s.deps.Catalog.BatchGetProducts(r.Context(), &catalogv1.BatchGetProductsRequest{Skus: skus})
	if err != nil {
		return nil, err
	}
	products := forSale(resp.GetProducts())
	slices.SortFunc(products, func(a, b *catalogv1.Product) int {
		return slices.Index(skus, a.GetSku()) - slices.Index(skus, b.GetSku())
	})
	return cardsOf(products), nil
}

func seenSKUs(r *http.Request) []string {
	k, err := r.Cookie(seenCookie)
	if err != nil {
		return nil
	}
	text, err := url.QueryUnescape(k.Value)
	if err != nil || text == "" {
		return nil
	}
	skus := strings.Split(text, "|")
	return skus[:min(len(skus), maxSeen)]
}

// saw a product: it is the first of those seen.
func saw(w http.ResponseWriter, r *http.Request, sku string) {
	skus := append([]string{sku}, slices.DeleteFunc(seenSKUs(r), func(s string) bool { return s == sku })...)
	remember(w, seenCookie, url.QueryEscape(strings.Join(skus[:min(len(skus), maxSeen)], "|")), seenFor)
}

func (s *Service) categories(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Catalog.ListCategories(r.Context(), &catalogv1.ListCategoriesRequest{})
	if err != nil {
		return err
	}
	type group struct {
		Top    crumb
		Leaves []crumb
	}
	groups := map[string]*group{}
	var order []string
	for _, c := range resp.GetCategories() {
		top, rest, deeper := strings.Cut(c.GetPath(), levels)
		if groups[top] == nil {
			groups[top] = &group{Top: crumb{Name: top, Link: categoryLink(top)}}
			order = append(order, top)
		}
		if deeper {
			groups[top].Leaves = append(groups[top].Leaves, crumb{Name: rest, Link: categoryLink(c.GetPath())})
		}
	}
	slices.Sort(order)
	all := make([]*group, len(order))
	for i, top := range order {
		all[i] = groups[top]
	}
	c := s.chromeOf(r)
	c.Canonical = "/categories"
	return s.draw(w, r, http.StatusOK, "categories", struct {
		Chrome chrome
		Groups []*group
	}{c, all})
}

// category is a search without words.
func (s *Service) category(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(r.PathValue("path"), "/")
	path := strings.Join(parts, levels)
	l := listing{Category: path, Title: parts[len(parts)-1], Crumbs: crumbs(parts), Action: categoryLink(path)}
	l.Chrome = s.chromeOf(r)
	l.Chrome.Canonical, l.Chrome.Description = l.Action, l.Title+" at Cellar."
	return s.list(w, r, l)
}

func (s *Service) search(w http.ResponseWriter, r *http.Request) error {
	words := strings.TrimSpace(r.URL.Query().Get("q"))
	words = words[:min(len(words), maxQuery)]
	l := listing{Words: strings.ToValidUTF8(words, ""), Category: r.URL.Query().Get("category"), Title: "All products", Action: "/search"}
	if l.Words != "" {
		l.Title = "Results for “" + l.Words + "”"
	}
	l.Chrome = s.chromeOf(r)
	l.Chrome.Query, l.Chrome.NoIndex = l.Words, true
	return s.list(w, r, l)
}

// listing of products, narrowed and sorted.
type listing struct {
	Chrome                 chrome
	Title, Words, Category string
	Action                 string
	Crumbs                 []crumb
	Cards                  []card
	// Popular instead, where there are no cards.
	Popular                 template.HTML
	Total                   int64
	Brands, Categories      []choice
	Sorts                   []choice
	Prime                   choice
	MinPrice, MaxPrice      string
	Next                    string
	Clear                   string
	Narrowed, SearchesWords bool
	// Unsearched: the search does not answer.
	Unsearched bool
}

// choice of a filter.
type choice struct {
	Value, Label, Link string
	Count              int64
	Chosen             bool
}

var sorts = []struct {
	value, label string
	sort         searchv1.Sort
}{
	{"", "Best match", searchv1.Sort_SORT_UNSPECIFIED}, {"popular", "Most popular", searchv1.Sort_SORT_POPULARITY},
	{"price", "Price, low to high", searchv1.Sort_SORT_PRICE_ASCENDING}, {"-price", "Price, high to low", searchv1.Sort_SORT_PRICE_DESCENDING},
}

// list asks the search service for what the address says, and draws it.
func (s *Service) list(w http.ResponseWriter, r *http.Request, l listing) error {
	q := r.URL.Query()
	req := &searchv1.SearchRequest{Query: l.Words, Category: l.Category, Brands: q["brand"], PageSize: pageSize, PageToken: q.Get("page"), Prime: q.Get("prime") != ""}
	req.MinPriceMinorUnits, l.MinPrice = cents(q.Get("min"))
	req.MaxPriceMinorUnits, l.MaxPrice = cents(q.Get("max"))
	for _, by := range sorts {
		chosen := by.value == q.Get("sort")
		if chosen {
			req.Sort = by.sort
		}
		l.Sorts = append(l.Sorts, choice{Value: by.value, Label: by.label, Chosen: chosen})
	}
	resp, err := s.deps.Search.Search(r.Context(), req)
	if problem.KindOf(err) == problem.Unavailable {
		return s.listWithout(w, r, l, err)
	}
	if err != nil {
		return err
	}
	l.Cards, l.Total, l.SearchesWords = hitCards(resp.GetHits()), resp.GetTotal(), l.Action == "/search"
	s.rate(r.Context(), l.Cards)
	s.reduce(r.Context(), l.Cards)
	l.Prime.Chosen = req.GetPrime()
	for _, f := range resp.GetFacets() {
		for _, v := range f.GetValues() {
			switch f.GetField() {
			case "brand":
				l.Brands = append(l.Brands, choice{Value: v.GetValue(), Label: v.GetValue(), Count: v.GetCount(), Chosen: slices.Contains(req.GetBrands(), v.GetValue())})
			case "category":
				l.Categories = append(l.Categories, choice{Label: v.GetValue(), Count: v.GetCount(), Link: narrowedLink(l, q, v.GetValue())})
			case "prime":
				l.Prime.Count = v.GetCount()
			}
		}
	}
	l.Narrowed = len(req.GetBrands()) > 0 || l.Prime.Chosen || l.MinPrice != "" || l.MaxPrice != "" || (l.SearchesWords && l.Category != "")
	l.Clear = l.Action
	if l.Words != "" {
		l.Clear += "?" + url.Values{"q": {l.Words}}.Encode()
	}
	if len(l.Cards) == 0 {
		l.Popular, _ = s.liked.Get(r.Context(), struct{}{}, s.findPopular) // a help that the page can do without
	}
	if token := resp.GetNextPageToken(); token != "" {
		q.Set("page", token)
		l.Next = l.Action + "?" + q.Encode()
	}
	return s.draw(w, r, http.StatusOK, "listing", l)
}

// listWithout draws a list while the search does not answer: a category as the catalogue has it, most popular first; for words what else
// there is to go on with.
func (s *Service) listWithout(w http.ResponseWriter, r *http.Request, l listing, cause error) error {
	s.deps.Log.WarnContext(r.Context(), "a list is shown without search", "path", r.URL.Path, "error", cause)
	l.SearchesWords, l.Clear, l.Sorts, l.Unsearched = l.Action == "/search", l.Action, nil, true
	l.Chrome.NoIndex = true
	l.Chrome.without("search", cause)
	if l.Category == "" || l.Words != "" {
		l.Popular, _ = s.liked.Get(r.Context(), struct{}{}, s.findPopular) // as it was, for some minutes
		w.Header().Set("Retry-After", "2")
		return s.draw(w, r, http.StatusServiceUnavailable, "listing", l)
	}
	resp, err := s.deps.Catalog.BrowseCategory(r.Context(), &catalogv1.BrowseCategoryRequest{Category: l.Category, PageSize: pageSize})
	if err != nil {
		return cause
	}
	l.Cards = cardsOf(resp.GetProducts())
	s.rate(r.Context(), l.Cards)
	return s.draw(w, r, http.StatusOK, "listing", l)
}

// narrowedLink to a category: with words the search narrowed to it, else its own page.
func narrowedLink(l listing, q url.Values, category string) string {
	if l.Words == "" {
		return categoryLink(category)
	}
	own := url.Values{}
	for name, values := range q {
		if name != "page" {
			own[name] = values
		}
	}
	own.Set("category", category)
	return "/search?" + own.Encode()
}

// cents of an amount that a shopper has typed, and the amount as understood; what is no amount is none.
func cents(text string) (int64, string) {
	amount, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || amount < 0 || amount > 1e9 {
		return 0, ""
	}
	return int64(amount*100 + 0.5), strings.TrimSpace(text)
}

// suggest answers the search field's script.
func (s *Service) suggest(w http.ResponseWriter, r *http.Request) error {
	prefix := r.URL.Query().Get("q")
	words := []string{}
	if len(prefix) > 0 && len(prefix) <= maxQuery {
		resp, err := s.deps.Search.Suggest(r.Context(), &searchv1.SuggestRequest{Prefix: prefix, Limit: suggestions})
		if err == nil {
			words = append(words, resp.GetSuggestions()...)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	return json.NewEncoder(w).Encode(words)
}

func (s *Service) help(w http.ResponseWriter, r *http.Request) error {
	c := s.chromeOf(r)
	c.Canonical = "/help"
	return s.draw(w, r, http.StatusOK, "help", struct{ Chrome chrome }{c})
}
