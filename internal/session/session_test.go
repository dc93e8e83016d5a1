package session_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

var now = time.Unix(1_800_000_000, 0)

func signer(t testing.TB, keys ...string) *session.Signer {
	t.Helper()
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, bytes.Repeat([]byte(k), 32))
	}
	s, err := session.NewSigner(raw...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATokenVerifiesUntilItExpires(t *testing.T) {
	s := signer(t, "a")
	p := session.Principal{CustomerID: ident.NewGuest("use1"), SessionID: session.NewID()}
	token, expires := s.Issue(p, now)
	if got, err := s.Verify(token, expires.Add(-time.Second)); err != nil || got != p {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := s.Verify(token, expires); !problem.Is(err, "SESSION_EXPIRED") {
		t.Errorf("at the expiry: %v", err)
	}
	if id, ok := session.ParseCustomer(token); !ok || id != p.CustomerID {
		t.Errorf("the router reads %q, %v", id, ok)
	}
}

func TestATokenIsRenewedInTheSecondHalfOfItsLife(t *testing.T) {
	s := signer(t, "a")
	p := session.Principal{CustomerID: ident.NewCustomer("use1"), SessionID: session.NewIDOf(7, now)}
	token, expires := s.Issue(p, now)
	half := now.Add(session.Lifetime / 2)
	if _, _, renewed := s.Renew(token, half.Add(-time.Second)); renewed {
		t.Error("in the first half")
	}
	fresh, later, renewed := s.Renew(token, half)
	if got, err := s.Verify(fresh, expires); !renewed || err != nil || got != p || got.Generation() != 7 || !got.Begun().Equal(now) || !later.After(expires) {
		t.Errorf("renewed %v until %s: %v, %v", renewed, later, got, err)
	}
	if _, _, renewed := s.Renew(token, expires); renewed {
		t.Error("one that has expired")
	}
}

func TestASessionFromBeforeThereWereGenerationsIsOfTheFirst(t *testing.T) {
	for id, want := range map[string]int64{"": 0, "abc": 0, "x-abc": 0, "3-abc": 3, "-abc": 0} {
		p := session.Principal{SessionID: id}
		if got := p.Generation(); got != want {
			t.Errorf("%q is of generation %d", id, got)
		}
		if !p.Begun().IsZero() {
			t.Errorf("%q began at %s", id, p.Begun())
		}
	}
}

func TestKeysRotate(t *testing.T) {
	token, _ := signer(t, "a").Issue(session.Principal{CustomerID: ident.NewCustomer("euc1"), SessionID: "s"}, now)
	if _, err := signer(t, "b", "a").Verify(token, now); err != nil {
		t.Errorf("the old key is still good for verifying: %v", err)
	}
	if _, err := signer(t, "b").Verify(token, now); !problem.Is(err, "BAD_SESSION") {
		t.Errorf("without the old key: %v", err)
	}
}

func TestEveryChangedCharacterIsNoticed(t *testing.T) {
	s := signer(t, "a")
	token, _ := s.Issue(session.Principal{CustomerID: ident.NewCustomer("euc1"), SessionID: "s"}, now)
	for i := range len(token) - 1 { // the last base64 character has bits that say nothing
		forged := []byte(token)
		forged[i] ^= 1
		if _, err := s.Verify(string(forged), now); problem.KindOf(err) != problem.Unauthenticated {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	if _, err := session.NewSigner([]byte("short")); err == nil {
		t.Error("accepted")
	}
}

func FuzzVerify(f *testing.F) {
	s := signer(f, "a")
	f.Add("v1.c-use1-000000000000000000000000.s.1.x")
	f.Add(strings.Repeat(".", 300))
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := s.Verify(token, now); err == nil {
			t.Errorf("forged %q gave %v", token, p)
		}
		session.ParseCustomer(token)
	})
}
