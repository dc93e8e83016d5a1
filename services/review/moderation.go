package review

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"unicode"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
)

//go:embed words.txt
var wordList string

// words that hold a text, each between spaces, as flat gives texts.
var words = func() (all []string) {
	for line := range strings.Lines(wordList) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, flat(line))
		}
	}
	return all
}()

// flat text: letters and digits in small letters, everything between them one space, and a space at both ends.
func flat(text string) string {
	fields := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return " " + strings.Join(fields, " ") + " "
}

var (
	// links with a scheme, with www, and bare names below a domain that links usually end in.
	links = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://|\bwww\.|\b[a-z0-9-]+\.(com|net|org|info|biz|shop|store|online|site|xyz|io|co|me|ru|cn|de|uk|eu|us)\b`)
	mails = regexp.MustCompile(`(?i)[a-z0-9._%+-]+\s?(@|\(at\)|\[at\])\s?[a-z0-9-]+`)
	// phones: nine digits or more with no more between two than separators. Years, sizes and prices have fewer.
	phones = regexp.MustCompile(`\d(?:[\s().+/-]{0,3}\d){8,}`)
)

const (
	// maxRepeated is how often a character may follow itself: "sooooo" is meant, a wall is not.
	maxRepeated = 5
	// shoutLength in letters from which a text must not be all capitals.
	shoutLength = 40
)

// rules of moderation by the name that operators and authors are told.
var rules = []struct {
	name  string
	stops func(text string) bool
}{
	{"link", links.MatchString},
	{"contact", func(text string) bool { return mails.MatchString(text) || phones.MatchString(text) }},
	{"repetition", repeats},
	{"capitals", shouts},
	{"word", func(text string) bool {
		all := flat(text)
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(all, word) })
	}},
}

// repeats a character too often; white space and what draws a line do not count.
func repeats(text string) bool {
	var last rune
	n := 0
	for _, r := range text {
		if r != last {
			last, n = r, 0
		}
		if n++; n > maxRepeated && !unicode.IsSpace(r) && !strings.ContainsRune("-=_*.", r) {
			return true
		}
	}
	return false
}

func shouts(text string) bool {
	large, all := 0, 0
	for _, r := range text {
		if unicode.IsLetter(r) {
			all++
		}
		if unicode.IsUpper(r) {
			large++
		}
	}
	return all >= shoutLength && large*10 >= all*9
}

// moderate what somebody wrote: the rules that stop it, none when it may be published.
func moderate(texts ...string) (stoppedBy []string) {
	text := strings.Join(texts, "\n")
	for _, r := range rules {
		if r.stops(text) {
			stoppedBy = append(stoppedBy, r.name)
		}
	}
	return stoppedBy
}

// wasRejected holds what is edited after an operator has refused it, whatever it says now.
const wasRejected = "rejected before"

// judge sets the state of what is written, or edited after before.
func judge(c, before *reviewv1.Contribution) {
	c.HeldFor, c.Reason = moderate(c.GetTitle(), c.GetText(), c.GetAuthor()), ""
	if before.GetState() == reviewv1.State_STATE_REJECTED || slices.Contains(before.GetHeldFor(), wasRejected) && before.GetState() == reviewv1.State_STATE_HELD {
		c.HeldFor = append(c.HeldFor, wasRejected)
	}
	c.State = reviewv1.State_STATE_PUBLISHED
	if len(c.GetHeldFor()) > 0 {
		c.State = reviewv1.State_STATE_HELD
	}
}
