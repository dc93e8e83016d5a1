package review

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestTheStandingIsWilsonsLowerBound(t *testing.T) {
	for votes, want := range map[[2]int64]float64{
		{0, 0}: 0, {0, 5}: 0,
		{1, 0}:   1 / (1 + z*z), // of n votes, all for it: n / (n + z²)
		{10, 0}:  10 / (10 + z*z),
		{5, 5}:   0.236593, // the interval that Wilson's paper leads to for a half of ten
		{90, 10}: 0.825634,
	} {
		if got := float64(standing(votes[0], votes[1])) / standingScale; math.Abs(got-want) > 2e-6 {
			t.Errorf("%v: got %f, want %f", votes, got, want)
		}
	}
}

func TestAVoteForItRaisesTheStandingAndOneAgainstItLowersIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		up, down := rapid.Int64Range(1, 1e6).Draw(t, "up"), rapid.Int64Range(0, 1e6).Draw(t, "down")
		s := standing(up, down)
		if s < 0 || float64(s)/standingScale > float64(up)/float64(up+down) {
			t.Fatalf("%d is no lower bound of %d of %d", s, up, up+down)
		}
		if standing(up+1, down) < s || standing(up, down+1) > s {
			t.Fatal("it moves the wrong way")
		}
	})
}

func TestRulesHoldWhatOperatorsHaveToSee(t *testing.T) {
	for text, want := range map[string][]string{
		"A good lamp. Bright, cheap, and it came in 2 days.":       nil,
		"It is 120.5 x 80 cm, 1200 W, and cost $1,299.00 in 2031.": nil,
		"Sooooo good!!!!!": nil,
		"----------\n- bright\n- cheap\n....................":       nil,
		"Das ist gut.Es hat mir gefallen.":                          nil,
		"The shitake mushrooms grew well":                           nil,
		"see https://example.com/x":                                 {"link"},
		"see WWW.example.org":                                       {"link"},
		"better at my-shop.store today":                             {"link"},
		"write to ada@example":                                      {"contact"},
		"write to ada (at) example":                                 {"contact"},
		"call +1 (555) 010-99 88 now":                               {"contact"},
		"goooooood":                                                 {"repetition"},
		"WHAT A LAMP THIS IS, I HAVE NEVER SEEN ONE LIKE IT BEFORE": {"capitals"},
		"You IDIOT!":                                                {"word"},
		"I can offer a paid\nreview":                                {"word"},
		"fuuuuuuuck www.x.com":                                      {"link", "repetition"},
	} {
		if got := moderate(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestALinkIsFoundInAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := rapid.StringMatching(`[a-z ,.!]{0,40}`).Draw(t, "before"), rapid.StringMatching(`[a-z ,.!]{0,40}`).Draw(t, "after")
		link := rapid.SampledFrom([]string{"http://x.y", "HTTPS://shop", "www.x", "buy-it.com"}).Draw(t, "link")
		if got := moderate(before + " " + link + " " + after); !slices.Contains(got, "link") {
			t.Fatalf("stopped by %v", got)
		}
	})
}

func FuzzModerate(f *testing.F) {
	for _, s := range []string{"", "a", "\xff", "aaaaaa", "ÄÖÜ", "http://", "@", strings.Repeat("9 ", 40), "idiot"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first := moderate(s)
		if !slices.Equal(moderate(s), first) {
			t.Error("it decides otherwise the second time")
		}
		if with := moderate(s + " www.x"); !slices.Contains(with, "link") {
			t.Errorf("a link behind %q passes: %v", s, with)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"", "x", top().token(), place{3, opened, "use1-abc"}.token(), place{-1, opened, "use1-abc"}.token(), place{3, opened, "a'b"}.token()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePlace(s)
		if err != nil {
			if !problem.Is(err, "BAD_PAGE_TOKEN") {
				t.Errorf("got %v", err)
			}
			return
		}
		if p.standing < 0 || p.written.After(top().written) || len(p.id) > maxID || !utf8.ValidString(p.id) {
			t.Errorf("%q is read as %+v", s, p)
		}
		if s != "" {
			if again, err := parsePlace(p.token()); err != nil || again != p {
				t.Errorf("%+v is read back as %+v, %v", p, again, err)
			}
		}
	})
}

func TestAnExcerptIsShortAndABeginning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé \n")), 0, 1500, -1).Draw(t, "text")
		short, cut := excerpt(text)
		if cut != (utf8.RuneCountInString(text) > excerptLength) || (!cut && short != text) {
			t.Fatalf("cut: %v", cut)
		}
		if utf8.RuneCountInString(short) > excerptLength+1 || !strings.HasPrefix(text, strings.TrimSuffix(short, "…")) {
			t.Fatalf("%q is no short beginning", short)
		}
	})
}

func TestTheMeanIsRounded(t *testing.T) {
	for counts, want := range map[[5]int64]int32{{}: 0, {0, 0, 0, 0, 1}: 500, {1, 0, 0, 0, 1}: 300, {0, 0, 0, 1, 2}: 467, {2, 1, 0, 0, 0}: 133} {
		if r := ratingOf("x", counts); r.GetMeanHundredths() != want {
			t.Errorf("%v: got %d, want %d", counts, r.GetMeanHundredths(), want)
		}
	}
}

func TestAPlaceSurvivesItsToken(t *testing.T) {
	p := place{12, time.Date(2031, 5, 4, 12, 0, 0, 123_456_000, time.UTC), "use1-abc"}
	if got, err := parsePlace(p.token()); err != nil || got != p {
		t.Errorf("got %+v, %v", got, err)
	}
}
