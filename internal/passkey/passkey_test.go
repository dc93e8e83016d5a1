package passkey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/passkey/passkeytest"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const shop = "https://shop.test"

var (
	now    = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)
	reader = passkey.User{ID: "c-use1-000000000000000000000000", Name: "reader@example.com", Label: "R. Reader"}
)

func party(t testing.TB, key string) *passkey.Party {
	t.Helper()
	p, err := passkey.New([]string{shop, "https://m.shop.test"}, bytes.Repeat([]byte(key), 32))
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made is a passkey of the reader's, and its key.
func made(t testing.TB, p *passkey.Party) (*passkeytest.Authenticator, passkey.Key) {
	t.Helper()
	a := passkeytest.New(t, shop)
	options, err := p.ToMake(reader, nil, now)
	must(t, err)
	key, asked, err := p.Made(reader, a.Make(t, options), now.Add(time.Second))
	must(t, err)
	if !asked.Equal(now) || !bytes.Equal(key.ID, a.ID) || len(key.Public) == 0 {
		t.Fatalf("%+v, asked at %v", key, asked)
	}
	return a, key
}

func use(t testing.TB, p *passkey.Party, a *passkeytest.Authenticator, keys ...passkey.Key) (passkey.Key, error) {
	t.Helper()
	options, err := p.ToUse(now)
	must(t, err)
	answer, err := passkey.Read(a.Use(t, options))
	must(t, err)
	if answer.User != reader.ID {
		t.Fatalf("it is %q's", answer.User)
	}
	key, _, err := p.Used(answer, keys, now)
	return key, err
}

func TestAPasskeyThatWasMadeProvesItsUserWithEachUse(t *testing.T) {
	p := party(t, "a")
	a, key := made(t, p)
	a.Origin = "https://m.shop.test"
	for n := uint32(1); n <= 2; n++ {
		var err error
		if key, err = use(t, p, a, passkey.Key{ID: []byte("another")}, key); err != nil || key.Count != n {
			t.Fatalf("use %d: %+v, %v", n, key, err)
		}
	}
	a.Count = -1
	key.Count = 0
	if _, err := use(t, p, a, key); err != nil {
		t.Errorf("an authenticator that does not count: %v", err)
	}
}

func TestWhatIsNotTheUsersKeyProvesNothing(t *testing.T) {
	p := party(t, "a")
	a, key := made(t, p)
	other := passkeytest.New(t, shop)
	for name, change := range map[string]func(a *passkeytest.Authenticator){
		"another key under the same id": func(a *passkeytest.Authenticator) { a.Key = other.Key },
		"another id":                    func(a *passkeytest.Authenticator) { a.ID = other.ID },
		"a stranger at the device":      func(a *passkeytest.Authenticator) { a.Stranger = true },
	} {
		forged := *a
		change(&forged)
		if _, err := use(t, p, &forged, key); !errors.Is(err, passkey.ErrNotProven) {
			t.Errorf("%s: %v", name, err)
		}
	}
	key.Count = 5
	a.Count = 4
	if _, err := use(t, p, a, key); !errors.Is(err, passkey.ErrCopied) {
		t.Errorf("a count that does not grow: %v", err)
	}
}

func TestAChallengeIsGoodForFiveMinutesAndForWhatItWasAskedFor(t *testing.T) {
	p := party(t, "a")
	a, key := made(t, p)
	options, err := p.ToUse(now)
	must(t, err)
	answer, err := passkey.Read(a.Use(t, options))
	must(t, err)
	if _, _, err := p.Used(answer, []passkey.Key{key}, now.Add(passkey.Lifetime-time.Second)); err != nil {
		t.Errorf("in time: %v", err)
	}
	if _, _, err := p.Used(answer, []passkey.Key{key}, now.Add(passkey.Lifetime)); !problem.Is(err, "CHALLENGE_NOT_GOOD") {
		t.Errorf("too late: %v", err)
	}
	if _, _, err := party(t, "b").Used(answer, []passkey.Key{key}, now); !problem.Is(err, "CHALLENGE_NOT_GOOD") {
		t.Errorf("somebody else's: %v", err)
	}
	forAnother, err := p.ToMake(passkey.User{ID: "c-use1-111111111111111111111111", Name: "x", Label: "x"}, nil, now)
	must(t, err)
	if _, _, err := p.Made(reader, a.Make(t, forAnother), now); !problem.Is(err, "CHALLENGE_NOT_GOOD") {
		t.Errorf("asked of another: %v", err)
	}
}

func TestOnlyTheShopsOwnPagesMakeAndUsePasskeys(t *testing.T) {
	p := party(t, "a")
	a, key := made(t, p)
	for _, origin := range []string{"https://shop.test.evil.example", "http://shop.test", "https://other.shop.test"} {
		a.Origin = origin
		if _, err := use(t, p, a, key); !problem.Is(err, "WRONG_ORIGIN") {
			t.Errorf("%s uses: %v", origin, err)
		}
		options, err := p.ToMake(reader, nil, now)
		must(t, err)
		if _, _, err := p.Made(reader, a.Make(t, options), now); !problem.Is(err, "WRONG_ORIGIN") {
			t.Errorf("%s makes: %v", origin, err)
		}
	}
}

func TestADeviceThatHasAPasskeyIsToldToMakeNoOther(t *testing.T) {
	p := party(t, "a")
	a, key := made(t, p)
	options, err := p.ToMake(reader, []passkey.Key{key}, now)
	must(t, err)
	var asked struct {
		ExcludeCredentials     []struct{ ID string }
		AuthenticatorSelection struct{ ResidentKey, UserVerification string }
		RP                     struct{ ID string }
	}
	must(t, json.Unmarshal([]byte(options), &asked))
	if len(asked.ExcludeCredentials) != 1 || asked.AuthenticatorSelection.ResidentKey != "required" || asked.AuthenticatorSelection.UserVerification != "required" || asked.RP.ID != "shop.test" {
		t.Errorf("of %x it says %s", a.ID, options)
	}
	a.Stranger = true
	if _, _, err := p.Made(reader, a.Make(t, options), now); !problem.Is(err, "PASSKEY_REFUSED") {
		t.Errorf("one that does not know who is there: %v", err)
	}
}

func TestOriginsAreOfOneDomainAndSafe(t *testing.T) {
	for origins, good := range map[string]bool{
		"https://shop.test": true, "http://localhost:8080 http://localhost:8081": true, "https://shop.test https://m.shop.test": true, "": false, "http://shop.test": false,
		"https://shop.test https://evil.test": false, "https://shop.test https://evilshop.test": false, "https://10.0.0.1": false, "http://127.0.0.1:8080": false, "shop.test": false, "https://shop.test/": false,
	} {
		if _, err := passkey.New(strings.Fields(origins), bytes.Repeat([]byte("a"), 32)); (err == nil) != good {
			t.Errorf("%q: %v", origins, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	p := party(f, "a")
	a, key := made(f, p)
	options, err := p.ToUse(now)
	must(f, err)
	f.Add(a.Use(f, options))
	f.Add(strings.Repeat("{", 20_000))
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := p.Made(reader, text, now); err == nil {
			t.Error("nobody has asked for a passkey")
		}
		if answer, err := passkey.Read(text); err == nil {
			if used, _, err := p.Used(answer, []passkey.Key{key}, now); err == nil && !bytes.Equal(used.ID, key.ID) {
				t.Errorf("it is another's: %+v", used)
			}
		}
	})
}
