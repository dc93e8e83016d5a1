package storefront

import (
	"net/http"
	"testing"

	"github.com/cellar-commerce/cellar/internal/session"
)

// Whoever looks at a page, and whoever has looked before: it is as if nobody had.
func TestAPageThatIsKeptIsNobodyElses(t *testing.T) {
	account := session.Principal{CustomerID: "c-use1-000000000000000000000000"}
	type look struct {
		name   string
		who    session.Principal
		cookie *http.Cookie
	}
	looks := []look{
		{name: "a stranger"}, {name: "a guest", who: guest}, {name: "a customer", who: account}, {name: "a cart", cookie: &http.Cookie{Name: cartCookie, Value: "3"}},
		{name: "a notice", cookie: &http.Cookie{Name: noticeCookie, Value: "bye"}}, {name: "a place", cookie: &http.Cookie{Name: placeCookie, Value: "US.02108"}},
		{name: "one who has looked around", cookie: &http.Cookie{Name: seenCookie, Value: "LAMP"}},
	}
	for _, path := range []string{"/", "/p/LAMP"} {
		see := func(s *shop, l look) (body, kept, tag string) {
			s.who = l.who
			var cookies []*http.Cookie
			if l.cookie != nil {
				cookies = append(cookies, l.cookie)
			}
			w := s.get(path, cookies...)
			return w.Body.String(), w.Header().Get("Cache-Control"), w.Header().Get("ETag")
		}
		different := map[string]bool{}
		for _, second := range looks {
			body, kept, tag := see(newShop(t), second)
			different[body] = true
			s := newShop(t)
			for _, first := range looks {
				see(s, first)
				if b, k, g := see(s, second); b != body || k != kept || g != tag {
					t.Errorf("%s: after %s, %s gets another page, %q %q", path, first.name, second.name, k, g)
				}
			}
		}
		if len(different) < 4 {
			t.Errorf("%s is %d pages: the looks do not differ", path, len(different))
		}
	}
}

func TestAPlainPageIsDrawnOnce(t *testing.T) {
	var s same[string, int]
	drawn := 0
	for _, of := range []string{"a", "a", "b", "b", "a"} {
		if _, err := s.get(of, func() (int, error) { drawn++; return drawn, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if drawn != 3 {
		t.Errorf("it was drawn %d times", drawn)
	}
	if _, err := s.get("c", func() (int, error) { return 0, errBroken }); err == nil {
		t.Error("what fails is taken")
	}
	if what, err := s.get("a", func() (int, error) { return 9, nil }); what != 3 || err != nil {
		t.Errorf("what failed has replaced what there was: %d, %v", what, err)
	}
}
