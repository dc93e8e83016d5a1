package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/analysis/lang/en"
	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	blevesearch "github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/query"
	index "github.com/blevesearch/bleve_index_api"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
)

// Fields of the index. Text fields are analysed; the others hold values as they are.
const (
	fieldTitle       = "title"
	fieldBrand       = "brand"
	fieldCategory    = "category"
	fieldAttributes  = "attributes"
	fieldDescription = "description"
	fieldInCategory  = "in_category"    // the category and each one above it
	fieldBrandKey    = "brand_key"      // lower case
	fieldBrandShown  = "brand_shown"    // of what is of no family
	fieldLeaf        = "category_shown" // the same
	fieldPrime       = "prime"          // primeYes, or nothing
	fieldPrimeShown  = "prime_shown"    // the same, of what is of no family
	fieldPrice       = "price"
	fieldPopularity  = "popularity"
	fieldKin         = "kin" // family, brand and category of what is of a family
)

// primeYes is the one value of fieldPrime.
const primeYes = "yes"

// boosts say how much a word counts where.
var boosts = []struct {
	field string
	boost float64
}{{fieldTitle, 4}, {fieldBrand, 3}, {fieldCategory, 2}, {fieldAttributes, 1.5}, {fieldDescription, 1}}

// Bleve is an Engine in memory, on the library of that name.
type Bleve struct {
	index   bleve.Index
	english analysis.Analyzer
	exact   analysis.Analyzer

	// writing keeps versions in order: what is older than the index holds never overtakes.
	writing  sync.Mutex
	mu       sync.RWMutex
	products map[string]*Product
	suggest  *suggester
	// withdrawn products' versions: what comes late puts none of them back. Guarded by writing.
	withdrawn map[string]int64
}

var _ Engine = (*Bleve)(nil)

// NewBleve is an empty index.
func NewBleve() (*Bleve, error) {
	m := bleve.NewIndexMapping()
	m.ScoringModel = index.BM25Scoring
	idx, err := bleve.NewUsing("", m, scorch.Name, scorch.Name, nil) // no path: in memory
	if err != nil {
		return nil, fmt.Errorf("bleve: %w", err)
	}
	b := &Bleve{index: idx, english: m.AnalyzerNamed(en.AnalyzerName), exact: m.AnalyzerNamed(keyword.Name), products: map[string]*Product{}, suggest: newSuggester(), withdrawn: map[string]int64{}}
	if b.english == nil || b.exact == nil {
		return nil, errors.New("bleve: an analyzer is missing")
	}
	return b, nil
}

// Close frees the index.
func (b *Bleve) Close() error { return b.index.Close() }

// Count implements Engine.
func (b *Bleve) Count() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.products)
}

// Index implements Engine.
func (b *Bleve) Index(products []*catalogv1.Product) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	batch := b.index.NewBatch()
	fresh, gone := map[string]*Product{}, map[string]bool{}
	for sku, p := range b.newest(products) {
		if p.GetWithdrawnAt() != nil {
			batch.Delete(sku)
			gone[sku], b.withdrawn[sku] = true, p.GetVersion()
			continue
		}
		if err := batch.IndexAdvanced(b.document(p)); err != nil {
			return fmt.Errorf("bleve: index %s: %w", sku, err)
		}
		fresh[sku] = shown(p)
		delete(b.withdrawn, sku)
	}
	// First what is shown, then what is found: a hit always has something to show, unless it is taken out meanwhile.
	b.mu.Lock()
	for sku, p := range fresh {
		b.suggest.replace(b.products[sku], p)
	}
	for sku := range gone {
		b.suggest.replace(b.products[sku], nil)
		delete(b.products, sku)
	}
	maps.Copy(b.products, fresh)
	b.mu.Unlock()
	if err := b.index.Batch(batch); err != nil {
		return fmt.Errorf("bleve: index %d products: %w", len(fresh)+len(gone), err)
	}
	return nil
}

// newest of products by SKU, without what is older than the index has it.
func (b *Bleve) newest(products []*catalogv1.Product) map[string]*catalogv1.Product {
	all := map[string]*catalogv1.Product{}
	for _, p := range products {
		known, sku := b.withdrawn[p.GetSku()], p.GetSku()
		if had := b.product(sku); had != nil {
			known = had.Version
		}
		if p.GetVersion() >= max(known, all[sku].GetVersion()) {
			all[sku] = p
		}
	}
	return all
}

func (b *Bleve) product(sku string) *Product {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.products[sku]
}

// document of a product. Built by hand: the reflection of a mapping costs more than the indexing.
func (b *Bleve) document(p *catalogv1.Product) *document.Document {
	d := document.NewDocument(p.GetSku())
	text := func(field, value string) {
		if value != "" {
			d.AddField(document.NewTextFieldCustom(field, nil, []byte(value), index.IndexField, b.english))
		}
	}
	key := func(field, value string, options index.FieldIndexingOptions) {
		if value != "" {
			d.AddField(document.NewTextFieldCustom(field, nil, []byte(value), options|index.SkipFreqNorm, b.exact))
		}
	}
	text(fieldTitle, p.GetTitle())
	text(fieldBrand, p.GetBrand())
	text(fieldCategory, strings.Join(p.GetCategoryPath(), " "))
	text(fieldDescription, p.GetDescription())
	var attributes strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.GetAttributes())) {
		attributes.WriteString(name + " " + p.GetAttributes()[name] + "\n")
	}
	text(fieldAttributes, attributes.String())
	for i := range p.GetCategoryPath() {
		key(fieldInCategory, strings.Join(p.GetCategoryPath()[:i+1], " > "), index.IndexField)
	}
	key(fieldBrandKey, strings.ToLower(p.GetBrand()), index.IndexField)
	key(fieldPrime, primeOf(p), index.IndexField)
	if p.GetFamily() == "" {
		key(fieldPrimeShown, primeOf(p), index.IndexField|index.DocValues)
		key(fieldBrandShown, p.GetBrand(), index.IndexField|index.DocValues)
		key(fieldLeaf, strings.Join(p.GetCategoryPath(), " > "), index.IndexField|index.DocValues)
	} else {
		key(fieldKin, kinOf(p), index.IndexField|index.DocValues)
	}
	for field, n := range map[string]int64{fieldPrice: p.GetPrice().GetMinorUnits(), fieldPopularity: int64(p.GetPopularity())} {
		d.AddField(document.NewNumericFieldWithIndexingOptions(field, nil, float64(n), index.IndexField|index.DocValues))
	}
	return d
}

// Search implements Engine.
func (b *Bleve) Search(ctx context.Context, q Query) (Results, error) {
	terms := b.terms(q.Words)
	if len(terms) == 0 && strings.TrimSpace(q.Words) != "" {
		for _, w := range strings.Fields(strings.ToLower(q.Words)) { // nothing but words too common to be indexed
			terms = append(terms, term{stem: w, typed: w})
		}
	}
	for _, attempt := range attempts(terms) {
		res, err := b.run(ctx, q, attempt)
		if err != nil || res.Total > 0 {
			return res, err
		}
	}
	return Results{}, nil
}

// term of a query: as the index has it, and as it was typed, in lower case.
type term struct{ stem, typed string }

// terms of a query: at most maxTerms, each once.
func (b *Bleve) terms(words string) []term {
	var terms []term
	for _, token := range b.english.Analyze([]byte(words)) {
		t := term{stem: string(token.Term), typed: strings.ToLower(words[token.Start:token.End])}
		if !slices.ContainsFunc(terms, func(other term) bool { return other.stem == t.stem }) && len(terms) < maxTerms {
			terms = append(terms, t)
		}
	}
	return terms
}

const (
	// maxTerms of a query count; nobody types more who wants to find something.
	maxTerms = 16
	// minFuzzy letters: shorter words have too many neighbours.
	minFuzzy = 4
)

// attempts at a query, from strict to forgiving.
func attempts(terms []term) []query.Query {
	if len(terms) == 0 {
		return []query.Query{query.NewMatchAllQuery()}
	}
	exact, forgiving := make([]query.Query, len(terms)), make([]query.Query, len(terms))
	typos := false
	for i, t := range terms {
		exact[i], forgiving[i] = anywhere(t.stem, 0), anywhere(t.stem, 0)
		if len([]rune(t.stem)) >= minFuzzy {
			forgiving[i], typos = anywhere(t.stem, 1), true
			if t.typed != t.stem { // the stem of a word with a typo may be far from that of the word: wireles has wirel, wireless itself
				forgiving[i] = query.NewDisjunctionQuery([]query.Query{forgiving[i], anywhere(t.typed, 1)})
			}
		}
	}
	all := []query.Query{query.NewConjunctionQuery(exact)}
	if typos {
		all = append(all, query.NewConjunctionQuery(forgiving))
	}
	if len(terms) > 1 {
		most, some := query.NewDisjunctionQuery(forgiving), query.NewDisjunctionQuery(forgiving)
		most.SetMin(float64((2*len(terms) + 2) / 3))
		all = append(all, most, some)
	}
	return all
}

// anywhere finds a term in any field, within an edit distance.
func anywhere(term string, fuzziness int) query.Query {
	fields := make([]query.Query, 0, len(boosts))
	for _, f := range boosts {
		if fuzziness == 0 {
			q := query.NewTermQuery(term)
			q.SetField(f.field)
			q.SetBoost(f.boost)
			fields = append(fields, q)
			continue
		}
		q := query.NewFuzzyQuery(term)
		q.SetFuzziness(fuzziness)
		q.SetPrefix(1) // the first letter is seldom wrong, and fixing it prunes almost everything
		q.SetField(f.field)
		q.SetBoost(f.boost)
		fields = append(fields, q)
	}
	return query.NewDisjunctionQuery(fields)
}

// maxFetched matches are gone through for the families among them: with eight products to a family a list is whole.
const maxFetched = 8 * MaxResults

// run a query. As many matches are fetched as it takes for the families among them to be shown once.
func (b *Bleve) run(ctx context.Context, q Query, match query.Query) (Results, error) {
	for depth := max(q.Limit, rerankDepth); ; depth *= 2 {
		res, err := b.fetch(ctx, q, match, min(depth, maxFetched))
		if err != nil {
			return Results{}, err
		}
		fetched := len(res.Hits)
		res.Hits = collapse(res.Hits)
		if len(res.Hits) > q.Limit || fetched < depth {
			res.More = len(res.Hits) > q.Limit
			res.Hits = res.Hits[:min(len(res.Hits), q.Limit)]
			return res, nil
		}
	}
}

// fetch the first matches, however many of them are of one family.
func (b *Bleve) fetch(ctx context.Context, q Query, match query.Query, depth int) (Results, error) {
	req := bleve.NewSearchRequestOptions(filtered(match, q), depth, 0, false)
	req.Score = ""
	req.SortBy(orderOf(q))
	if q.Counted {
		req.AddFacet(fieldLeaf, bleve.NewFacetRequest(fieldLeaf, allFacets))
		req.AddFacet(fieldBrandShown, bleve.NewFacetRequest(fieldBrandShown, allFacets))
		req.AddFacet(fieldPrimeShown, bleve.NewFacetRequest(fieldPrimeShown, 1))
		req.AddFacet(fieldKin, bleve.NewFacetRequest(fieldKin, allFacets))
	}
	found, err := b.index.SearchInContext(ctx, req)
	if err != nil {
		return Results{}, fmt.Errorf("bleve: search: %w", err)
	}
	res := Results{Total: int64(found.Total)}
	if q.Counted {
		of := familiesOf(found)
		res.Total -= of.surplus
		res.Prime = facetOf(found, fieldPrimeShown, of.prime)
		res.Categories, res.Brands = facetOf(found, fieldLeaf, of.categories), facetOf(found, fieldBrandShown, of.brands)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, h := range found.Hits {
		if p := b.products[h.ID]; p != nil { // it is withdrawn while the index was asked
			res.Hits = append(res.Hits, Hit{Product: p, Score: h.Score})
		}
	}
	if q.Sort == searchv1.Sort_SORT_UNSPECIFIED && strings.TrimSpace(q.Words) != "" {
		rerank(res.Hits)
	}
	return res, nil
}

// orderOf the matches, as the index understands it.
func orderOf(q Query) []string {
	switch {
	case q.Sort == searchv1.Sort_SORT_PRICE_ASCENDING:
		return []string{fieldPrice, "_id"}
	case q.Sort == searchv1.Sort_SORT_PRICE_DESCENDING:
		return []string{"-" + fieldPrice, "_id"}
	case q.Sort == searchv1.Sort_SORT_POPULARITY || strings.TrimSpace(q.Words) == "":
		return []string{"-" + fieldPopularity, "_id"}
	}
	return []string{"-_score", "_id"}
}

// filtered narrows a query without changing its scores.
func filtered(match query.Query, q Query) query.Query {
	out := query.NewBooleanQuery([]query.Query{match}, nil, nil)
	narrowed := false
	filter := func(f query.Query) {
		if narrowed {
			f = query.NewConjunctionQuery([]query.Query{out.Filter, f})
		}
		out.AddFilter(f)
		narrowed = true
	}
	if q.Category != "" {
		filter(valueOf(fieldInCategory, q.Category))
	}
	if len(q.Brands) > 0 {
		any := make([]query.Query, len(q.Brands))
		for i, brand := range q.Brands {
			any[i] = valueOf(fieldBrandKey, strings.ToLower(brand))
		}
		filter(query.NewDisjunctionQuery(any))
	}
	if q.Prime {
		filter(valueOf(fieldPrime, primeYes))
	}
	if q.MinPrice > 0 || q.MaxPrice > 0 {
		var low, high *float64
		if q.MinPrice > 0 {
			low = new(float64(q.MinPrice))
		}
		if q.MaxPrice > 0 {
			high = new(float64(q.MaxPrice))
		}
		yes := true
		r := query.NewNumericRangeInclusiveQuery(low, high, &yes, &yes)
		r.SetField(fieldPrice)
		filter(r)
	}
	if !narrowed {
		return match
	}
	return out
}

func valueOf(field, value string) query.Query {
	q := query.NewTermQuery(value)
	q.SetField(field)
	return q
}

// facetOf a field: its values with how many matches have them that are of no family, and how many families.
func facetOf(found *bleve.SearchResult, field string, families map[string]int64) []FacetValue {
	var out []FacetValue
	for _, t := range termsOf(found, field) {
		out = append(out, FacetValue{t.Term, int64(t.Count) + families[t.Term]})
		delete(families, t.Term)
	}
	for value, n := range families {
		out = append(out, FacetValue{value, n})
	}
	slices.SortFunc(out, func(a, b FacetValue) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value)) })
	return out[:min(len(out), maxFacet)]
}

// termsOf a field that matches have.
func termsOf(found *bleve.SearchResult, field string) []*blevesearch.TermFacet {
	facet, ok := found.Facets[field]
	if !ok || facet.Terms == nil {
		return nil
	}
	return facet.Terms.Terms()
}

// allFacets are counted by the index however few are asked for. Which are the most frequent is known once families are added.
const allFacets = math.MaxInt32

// families among the matches: how many matches there are beyond one of each, and how many have a value.
type families struct {
	surplus                   int64
	brands, categories, prime map[string]int64
}

// kinSeparator is in no family, brand or category.
const kinSeparator = "\x00"

// kinOf a product of a family: the family, and what facets count of it. Most families have one kin.
func kinOf(p *catalogv1.Product) string {
	return p.GetFamily() + kinSeparator + p.GetBrand() + kinSeparator + strings.Join(p.GetCategoryPath(), " > ") + kinSeparator + primeOf(p)
}

// primeOf a product as its facet has it.
func primeOf(p *catalogv1.Product) string {
	if p.GetPrime() {
		return primeYes
	}
	return ""
}

func familiesOf(found *bleve.SearchResult) families {
	f := families{brands: map[string]int64{}, categories: map[string]int64{}, prime: map[string]int64{}}
	kin := termsOf(found, fieldKin)
	slices.SortFunc(kin, func(a, b *blevesearch.TermFacet) int { return strings.Compare(a.Term, b.Term) })
	last, brands, categories, prime := "", []string{}, []string{}, false // of the family that is gone through
	for _, t := range kin {
		family, rest, _ := strings.Cut(t.Term, kinSeparator)
		brand, rest, _ := strings.Cut(rest, kinSeparator)
		category, yes, _ := strings.Cut(rest, kinSeparator)
		f.surplus += int64(t.Count)
		if family != last {
			last, brands, categories, prime = family, brands[:0], categories[:0], false
			f.surplus--
		}
		if brand != "" && !slices.Contains(brands, brand) {
			brands = append(brands, brand)
			f.brands[brand]++
		}
		if category != "" && !slices.Contains(categories, category) {
			categories = append(categories, category)
			f.categories[category]++
		}
		if yes != "" && !prime {
			prime = true
			f.prime[yes]++
		}
	}
	return f
}

// Suggest implements Engine.
func (b *Bleve) Suggest(prefix string, limit int) []string {
	b.mu.Lock() // it may have to sort
	defer b.mu.Unlock()
	return b.suggest.complete(prefix, limit)
}
