package search

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	maxQuery        = 256
	maxCategory     = 2000
	maxBrands       = 50
	maxBrand        = 120
	maxPageSize     = 100
	defaultPageSize = 24
	maxPrefix       = 64
	maxSuggestions  = 20
	suggestions     = 8
)

// Search implements SearchService.
func (s *Service) Search(ctx context.Context, req *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	if s.deps.Publisher == nil {
		resp, _, err := s.search(ctx, req)
		return resp, err
	}
	begun := s.deps.Clock.Now()
	resp, offset, err := s.search(ctx, req)
	if err == nil {
		s.log(req, offset, resp, s.deps.Clock.Now().Sub(begun))
	}
	return resp, err
}

// search, and tell where the answer begins among all hits.
func (s *Service) search(ctx context.Context, req *searchv1.SearchRequest) (resp *searchv1.SearchResponse, offset int, err error) {
	size, err := validateSearch(req)
	if err != nil {
		return nil, 0, err
	}
	from, err := parsePageToken(req.GetPageToken())
	if err != nil {
		return nil, 0, err
	}
	offset = from.offset
	if err := s.requireReady(); err != nil {
		return nil, 0, err
	}
	end := min(offset+size, MaxResults)
	res, err := s.deps.Engine.Search(ctx, Query{
		Words: req.GetQuery(), Category: req.GetCategory(), Brands: req.GetBrands(), MinPrice: req.GetMinPriceMinorUnits(),
		MaxPrice: req.GetMaxPriceMinorUnits(), Prime: req.GetPrime(), Sort: req.GetSort(), Limit: end, Counted: offset == 0,
	})
	if err != nil {
		return nil, 0, err
	}
	if offset > 0 && from.total > 0 {
		res.Total = from.total // as the first page has counted it
	}
	resp = &searchv1.SearchResponse{Total: min(res.Total, MaxResults), Facets: facets(res)}
	for _, h := range res.Hits[min(offset, len(res.Hits)):] {
		resp.Hits = append(resp.Hits, show(h))
	}
	if res.More && end < MaxResults {
		resp.NextPageToken = pageToken(place{end, resp.GetTotal()})
	}
	return resp, offset, nil
}

func validateSearch(req *searchv1.SearchRequest) (size int, err error) {
	var v problem.Violations
	v.Check(utf8.ValidString(req.GetQuery()) && utf8.RuneCountInString(req.GetQuery()) <= maxQuery, "query", "must be at most 256 characters")
	v.Check(len(req.GetCategory()) <= maxCategory, "category", "must be a path of at most 5 levels")
	v.Check(len(req.GetBrands()) <= maxBrands, "brands", "must be at most 50")
	for i, b := range req.GetBrands() {
		v.Check(b != "" && utf8.RuneCountInString(b) <= maxBrand, "brands["+strconv.Itoa(i)+"]", "must be 1 to 120 characters")
	}
	low, high := req.GetMinPriceMinorUnits(), req.GetMaxPriceMinorUnits()
	v.Check(low >= 0, "min_price_minor_units", "must not be negative")
	v.Check(high >= 0 && (high == 0 || high >= low), "max_price_minor_units", "must be 0, or not below the lowest price")
	_, known := searchv1.Sort_name[int32(req.GetSort())]
	v.Check(known, "sort", "must be one of the orders")
	v.Check(req.GetPageSize() >= 0 && req.GetPageSize() <= maxPageSize, "page_size", "must be 0 to 100")
	size = int(req.GetPageSize())
	if size == 0 {
		size = defaultPageSize
	}
	return size, v.Err()
}

func show(h Hit) *searchv1.Hit {
	p := h.Product
	return &searchv1.Hit{
		Sku: p.SKU, Title: p.Title, Brand: p.Brand, Category: p.Category, ImageUrl: p.Image, Score: h.Score, Prime: p.Prime,
		Price: money.Amount{Minor: p.Price, Currency: p.Currency}.Proto(),
	}
}

func facets(res Results) []*searchv1.Facet {
	var out []*searchv1.Facet
	for _, f := range []struct {
		field  string
		values []FacetValue
	}{{"category", res.Categories}, {"brand", res.Brands}, {"prime", res.Prime}} {
		if len(f.values) == 0 {
			continue
		}
		facet := &searchv1.Facet{Field: f.field}
		for _, value := range f.values {
			facet.Values = append(facet.Values, &searchv1.FacetValue{Value: value.Value, Count: value.Count})
		}
		out = append(out, facet)
	}
	return out
}

// place that a page begins at, and how many hits there are in all: the first page alone counts them. Results move when products change
// between two pages; a shopper may then see one twice, which is what every shop does.
type place struct {
	offset int
	// total is 0 where it is not known.
	total int64
}

func pageToken(p place) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "from/%d/%d", p.offset, p.total))
}

func parsePageToken(token string) (p place, err error) {
	if token == "" {
		return place{}, nil
	}
	bad := problem.New(problem.Invalid, "BAD_PAGE_TOKEN", "the page token is not from a previous answer")
	if len(token) > 32 {
		return place{}, bad
	}
	b, decodeErr := base64.RawURLEncoding.DecodeString(token)
	digits, found := strings.CutPrefix(string(b), "from/")
	digits, of, counted := strings.Cut(digits, "/")
	offset, offsetErr := strconv.Atoi(digits)
	if decodeErr != nil || !found || offsetErr != nil || offset <= 0 || offset >= MaxResults {
		return place{}, bad
	}
	if !counted { // by the release before
		return place{offset: offset}, nil
	}
	total, totalErr := strconv.ParseInt(of, 10, 64)
	if totalErr != nil || total < 0 || total > MaxResults {
		return place{}, bad
	}
	return place{offset, total}, nil
}

// Suggest implements SearchService.
func (s *Service) Suggest(_ context.Context, req *searchv1.SuggestRequest) (*searchv1.SuggestResponse, error) {
	var v problem.Violations
	n := utf8.RuneCountInString(req.GetPrefix())
	v.Check(utf8.ValidString(req.GetPrefix()) && n >= 1 && n <= maxPrefix, "prefix", "must be 1 to 64 characters")
	v.Check(req.GetLimit() >= 0 && req.GetLimit() <= maxSuggestions, "limit", "must be 0 to 20")
	if err := v.Err(); err != nil {
		return nil, err
	}
	if err := s.requireReady(); err != nil {
		return nil, err
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = suggestions
	}
	return &searchv1.SuggestResponse{Suggestions: s.deps.Engine.Suggest(req.GetPrefix(), limit)}, nil
}
