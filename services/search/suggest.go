package search

import (
	"cmp"
	"slices"
	"strings"
)

// suggester completes prefixes from what the products are called: brands, categories, and the first words of titles. It
// is not safe for concurrent use.
type suggester struct {
	weights map[string]phrase // by lower-case phrase
	sorted  []string          // keys, nil when they have to be sorted again
}

type phrase struct {
	shown  string
	weight int64 // sum of the popularities of the products it comes from, each plus one
}

// maxPhrases bounds the memory; beyond it only known phrases gain weight.
const maxPhrases = 200_000

func newSuggester() *suggester { return &suggester{weights: map[string]phrase{}} }

// replace takes the phrases of an old product out and puts those of a new one in; either may be nil.
func (s *suggester) replace(old, now *Product) {
	if old != nil && now != nil && old.Title == now.Title && old.Brand == now.Brand && old.Category == now.Category && old.Popularity == now.Popularity {
		return
	}
	for _, p := range phrasesOf(old) {
		s.add(p, -int64(old.Popularity)-1)
	}
	for _, p := range phrasesOf(now) {
		s.add(p, int64(now.Popularity)+1)
	}
}

func (s *suggester) add(text string, weight int64) {
	key := strings.ToLower(text)
	p, known := s.weights[key]
	if !known {
		if len(s.weights) >= maxPhrases || weight < 0 {
			return
		}
		p.shown, s.sorted = text, nil
	}
	if p.weight += weight; p.weight <= 0 {
		delete(s.weights, key)
		s.sorted = nil
		return
	}
	s.weights[key] = p
}

// phrasesOf a product: its brand, its category's last level, and its title's first two and three words.
func phrasesOf(p *Product) []string {
	if p == nil {
		return nil
	}
	leaf := p.Category
	if i := strings.LastIndex(leaf, " > "); i >= 0 {
		leaf = leaf[i+len(" > "):]
	}
	phrases := []string{p.Brand, leaf}
	words := strings.Fields(p.Title)
	for _, n := range []int{2, 3} {
		if len(words) >= n {
			phrases = append(phrases, strings.Trim(strings.Join(words[:n], " "), ",;:-"))
		}
	}
	slices.Sort(phrases)
	return slices.DeleteFunc(slices.Compact(phrases), func(s string) bool { return s == "" })
}

// complete gives the heaviest phrases that begin with a prefix.
func (s *suggester) complete(prefix string, limit int) []string {
	if s.sorted == nil {
		s.sorted = make([]string, 0, len(s.weights))
		for key := range s.weights {
			s.sorted = append(s.sorted, key)
		}
		slices.Sort(s.sorted)
	}
	prefix = strings.ToLower(strings.Join(strings.Fields(prefix), " "))
	from, _ := slices.BinarySearch(s.sorted, prefix)
	var found []string
	for _, key := range s.sorted[from:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		found = append(found, key)
	}
	slices.SortFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.weights[b].weight, s.weights[a].weight), cmp.Compare(a, b))
	})
	found = found[:min(len(found), limit)]
	for i, key := range found {
		found[i] = s.weights[key].shown
	}
	return found
}
