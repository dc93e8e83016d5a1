package seed

import (
	_ "embed" // the rules
	"slices"
	"strings"
	"sync"
	"unicode"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

//go:embed rules.txt
var rulesTXT string

// unsorted is for products that no rule knows.
var unsorted = []string{"Other", "Everything Else"}

// maxPhrase in words.
const maxPhrase = 3

// ruleSet finds the first rule of a phrase or of an attribute's name. Looking up each run of words is quicker than trying
// each rule: a title has some fifty runs, and there are a thousand phrases.
type ruleSet struct {
	paths      [][]string
	phrases    map[string]int
	attributes map[string]int
}

var rules = sync.OnceValue(func() ruleSet {
	s := ruleSet{phrases: map[string]int{}, attributes: map[string]int{}}
	for line := range strings.Lines(rulesTXT) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		list := line
		if line[0] != ' ' { // an indented line goes on with the rule above it
			path, phrases, found := strings.Cut(line, ": ")
			if !found {
				panic("seed: the embedded rules are damaged at " + line)
			}
			s.paths, list = append(s.paths, strings.Split(path, " > ")), phrases
		}
		for phrase := range strings.SplitSeq(list, ",") {
			s.add(strings.TrimSpace(phrase))
		}
	}
	return s
})

// add a phrase to the last rule. An earlier rule keeps what it has.
func (s *ruleSet) add(phrase string) {
	into := s.phrases
	if name, ok := strings.CutPrefix(phrase, "@"); ok {
		phrase, into = name, s.attributes
	}
	key := strings.Join(tokens(phrase), " ")
	if _, earlier := into[key]; key != "" && !earlier {
		into[key] = len(s.paths) - 1
	}
}

// categorize a product by its title; where that says nothing by its type, by the attributes it has and by its description.
func categorize(p *catalogv1.Product) []string {
	s := rules()
	best := s.firstIn(p.GetTitle())
	for _, name := range []string{"product type", "type"} {
		if best == len(s.paths) {
			best = s.firstIn(p.GetAttributes()[name])
		}
	}
	if best == len(s.paths) {
		for name := range p.GetAttributes() {
			if i, ok := s.attributes[strings.Join(tokens(name), " ")]; ok {
				best = min(best, i)
			}
		}
	}
	if best == len(s.paths) {
		best = s.firstIn(p.GetDescription())
	}
	if best == len(s.paths) {
		return slices.Clone(unsorted)
	}
	return slices.Clone(s.paths[best])
}

// firstIn a text of all rules; the number of rules when none matches.
func (s ruleSet) firstIn(text string) int {
	words, best := tokens(text), len(s.paths)
	for i := range words {
		for n := 1; n <= maxPhrase && i+n <= len(words); n++ {
			if rule, ok := s.phrases[strings.Join(words[i:i+n], " ")]; ok {
				best = min(best, rule)
			}
		}
	}
	return best
}

// tokens of a text: small letters and digits, without the plural's s.
func tokens(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
			words[i] = w[:len(w)-1]
		}
	}
	return words
}
