package account

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// reference is a hash of "password" from the test vectors of the reference implementation of Argon2.
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestAHashOfTheReferenceImplementationMatches(t *testing.T) {
	h, err := parsePHC(reference)
	must(t, err)
	if h.String() != reference || !h.matches("password") || h.matches("Password") || h.matches("") {
		t.Errorf("%s does not match its password, or another", h)
	}
}

func TestAHashIsSaltedAndMatchesItsPasswordAlone(t *testing.T) {
	one, two := newHash(secretWord), newHash(secretWord)
	if one.String() == two.String() {
		t.Error("two hashes of one password are the same")
	}
	back, err := parsePHC(one.String())
	must(t, err)
	if !back.matches(secretWord) || back.matches(wrongWord) {
		t.Error("it does not match its password, or another")
	}
}

func TestAMalformedHashIsRefused(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":           "",
		"another scheme":    strings.Replace(reference, "argon2id", "argon2i", 1),
		"another version":   strings.Replace(reference, "v=19", "v=16", 1),
		"no memory":         strings.Replace(reference, "m=65536,", "", 1),
		"too little memory": strings.Replace(reference, "m=65536", "m=7", 1),
		"too much memory":   strings.Replace(reference, "m=65536", "m=262145", 1),
		"negative memory":   strings.Replace(reference, "m=65536", "m=-65536", 1),
		"no time":           strings.Replace(reference, "t=2", "t=0", 1),
		"too much time":     strings.Replace(reference, "t=2", "t=17", 1),
		"no threads":        strings.Replace(reference, "p=1", "p=0", 1),
		"too many threads":  strings.Replace(reference, "p=1", "p=256", 1),
		"one cost more":     strings.Replace(reference, "p=1", "p=1,x=1", 1),
		"a short salt":      strings.Replace(reference, "c29tZXNhbHQ", "c29tZXNhbA", 1),
		"no key":            reference[:strings.LastIndex(reference, "$")+1],
		"a part more":       reference + "$",
		"padding":           reference + "=",
		"something before":  "x" + reference,
	} {
		if h, err := parsePHC(s); !errors.Is(err, errBadHash) {
			t.Errorf("%s: got %v, %v", name, h, err)
		}
	}
	if _, err := newHasher().verify(t.Context(), "$argon2id$", secretWord); !errors.Is(err, errBadHash) {
		t.Errorf("a damaged row: %v", err)
	}
}

func TestWhereThereIsNoAccountNoPasswordMatches(t *testing.T) {
	h := newHasher()
	for _, word := range []string{secretWord, "no password at all"} { // the second is that of the hash to compare with
		if same, err := h.verify(t.Context(), "", word); same || err != nil {
			t.Errorf("%q: %v, %v", word, same, err)
		}
	}
}

func TestFewPasswordsAreHashedAtOnceAndFewWait(t *testing.T) {
	h := newHasher()
	begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	for range cap(h.running) {
		go func() { ended <- h.do(context.Background(), func() { begun <- struct{}{}; <-release }) }()
	}
	for range cap(h.running) {
		<-begun
	}
	given, give := context.WithCancel(t.Context())
	for range hashQueue {
		h.waiting <- struct{}{} // stands for one who waits
	}
	err := h.do(t.Context(), func() { t.Error("the work was done") })
	refused(t, err, problem.Exhausted, "TOO_MANY_SIGN_INS")
	<-h.waiting
	give() // who waits for a place to run leaves when nobody waits for the answer
	if err := h.do(given, func() { t.Error("the work was done") }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	for range cap(h.running) {
		must(t, <-ended)
	}
	if len(h.running) != 0 || len(h.waiting) != hashQueue-1 {
		t.Errorf("%d run and %d wait", len(h.running), len(h.waiting))
	}
}

func TestOneCoreIsLeftToThoseWhoHashNothing(t *testing.T) {
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 2, 5: 4, 64: 4} {
		if got := hashersOn(cores); got != want {
			t.Errorf("of %d cores %d hash, want %d", cores, got, want)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	for _, s := range []string{
		"", "$", "$$$$$", reference, reference + "\n", "$argon2id$v=19$m=8,t=1,p=255$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q",
		"$argon2id$v=19$m= 8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q", "$argon2id$v=19$m=99999999999,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q",
		"$argon2id$v=19$m=8,t=1,p=1 .$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			if !errors.Is(err, errBadHash) {
				t.Errorf("got %v", err)
			}
			return
		}
		if h.memory < 8 || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.threads < 1 || len(h.salt) < 8 || len(h.key) < 16 {
			t.Errorf("%q asks for %+v", s, h)
		}
		if again, err := parsePHC(h.String()); err != nil || again.String() != h.String() {
			t.Errorf("%q is written as %q, which reads as %q, %v", s, h, again, err)
		}
	})
}

// plainly looks for a card number at every place and of every length, with the check digit by the book: from the right,
// every second digit doubled and its digits summed.
func plainly(s string) bool {
	for from := range len(s) {
		var digits []int
		for i := from; i < len(s) && len(digits) < 19; i++ {
			if s[i] < '0' || s[i] > '9' {
				if (s[i] == ' ' || s[i] == '-') && i > from && s[i-1] >= '0' && s[i-1] <= '9' {
					continue
				}
				break
			}
			digits = append(digits, int(s[i]-'0'))
			if len(digits) >= 13 && byTheBook(digits) {
				return true
			}
		}
	}
	return false
}

func byTheBook(digits []int) bool {
	doubled := [10]int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}
	sum, zeros := 0, 0
	for i := range digits {
		d := digits[len(digits)-1-i]
		if d == 0 {
			zeros++
		}
		if i%2 == 1 {
			d = doubled[d]
		}
		sum += d
	}
	return sum%10 == 0 && zeros < len(digits)
}

func FuzzHasCardNumber(f *testing.F) {
	for _, s := range append([]string{
		"", "4242424242424243", "00000000000000000000", "0000000000000000000018", "42424242  42424242", "4242-4242-4242-4242-",
		"- 4242 4242-42424242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "tok_4242424242424242x", "12345678901234567890123456789",
	}, cardNumbers...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := hasCardNumber(s), plainly(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	})
}

func TestACardNumberIsFoundInAnyTextAndOneWithAWrongDigitIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.SliceOfN(rapid.IntRange(0, 9), 12, 18).Draw(t, "digits")
		digits[0] = rapid.IntRange(1, 9).Draw(t, "first")
		for check := range 10 {
			if byTheBook(append(digits, check)) {
				digits = append(digits, check)
				break
			}
		}
		text := spell(t, digits)
		if !hasCardNumber(text) {
			t.Fatalf("%q is not found", text)
		}
		digits = digits[:13] // of which every single wrong digit is told
		if !byTheBook(digits) {
			return
		}
		at := rapid.IntRange(0, 12).Draw(t, "at")
		digits[at] = (digits[at] + rapid.IntRange(1, 9).Draw(t, "wrong by")) % 10
		if text := spell(t, digits); hasCardNumber(text) {
			t.Fatalf("%q is taken for a card's", text)
		}
	})
}

// spell digits as people do, with words around them.
func spell(t *rapid.T, digits []int) string {
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"", "my card: ", "tok_", "- ", "é"}).Draw(t, "before"))
	for i, d := range digits {
		if i > 0 {
			b.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "-"}).Draw(t, "between"))
		}
		b.WriteByte(byte('0' + d))
	}
	b.WriteString(rapid.SampledFrom([]string{"", ".", " exp. May", "x", "  "}).Draw(t, "after"))
	return b.String()
}

func FuzzNormalEmail(f *testing.F) {
	for _, s := range []string{"", "Ada@Example.COM", " a@b.c\n", "Ada <a@b.c>", `"a b"@example.com`, "a@[10.0.0.1]", "İ@example.com", "\xff@b.c", longEmail(254)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		email, ok := normalEmail(s)
		if !ok {
			return
		}
		if again, ok := normalEmail(email); !ok || again != email {
			t.Errorf("%q is read as %q, and that as %q, %v", s, email, again, ok)
		}
		if len(email) > maxEmail || strings.ContainsAny(email, "\x00\r\n ") || !strings.Contains(email, "@") {
			t.Errorf("%q passes as %q", s, email)
		}
	})
}

func TestANewPasswordCostsWhatItShould(t *testing.T) {
	cheap := newHashMemory
	newHashMemory = argonMemory
	defer func() { newHashMemory = cheap }()
	if h := newHash(secretWord); h.memory != 19<<10 || h.time != 2 || h.threads != 1 || len(h.key) != 32 || len(h.salt) != 16 || !h.matches(secretWord) {
		t.Errorf("a new hash is %s", h)
	}
}
