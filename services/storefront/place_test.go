package storefront

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// placed is the cookie of a shopper in Boston.
var placed = &http.Cookie{Name: placeCookie, Value: "US.02108"}

func TestAProductsPageTellsWhenItIsAtTheDoor(t *testing.T) {
	for name, c := range map[string]struct {
		cookie  *http.Cookie
		fails   error
		want    string
		without string
	}{
		"nobody has said where to":  {want: "When does it come?", without: "At the door"},
		"a place":                   {cookie: placed, want: "At the door in 02108 by <strong>Tuesday, 6 May</strong>, if you order within 3 h 20 min."},
		"sold out":                  {placed, problem.New(problem.Precondition, "OUT_OF_STOCK", "x"), "Sold out for now.", "At the door"},
		"the plan takes too long":   {placed, context.DeadlineExceeded, "When it comes to 02108 you see at checkout", "At the door"},
		"the plan fails":            {placed, errBroken, "When it comes to 02108 you see at checkout", "At the door"},
		"a place of another planet": {cookie: &http.Cookie{Name: placeCookie, Value: "XX.1"}, want: "When does it come?", without: "At the door"},
		"no ZIP code":               {cookie: &http.Cookie{Name: placeCookie, Value: "US.<b>"}, want: "When does it come?", without: "US.<b>"},
	} {
		s := newShop(t)
		s.unplanned = c.fails
		var cookies []*http.Cookie
		if c.cookie != nil {
			cookies = append(cookies, c.cookie)
		}
		w := s.get("/p/LAMP", cookies...)
		if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, c.want) || c.without != "" && strings.Contains(body, c.without) {
			t.Errorf("%s: %d, no %q, or %q, in\n%s", name, w.Code, c.want, c.without, body)
		}
		asked := len(s.planned)
		if known := c.cookie == placed; known != (asked == 1) {
			t.Errorf("%s: it was planned %d times", name, asked)
		}
		if asked == 1 && (s.planned[0].GetLines()[0].GetSku() != "LAMP" || s.planned[0].GetShipTo().GetPostalCode() != "02108") {
			t.Errorf("%s: planned %v", name, s.planned[0])
		}
	}
}

func TestAPlaceIsRememberedIfItIsOne(t *testing.T) {
	for _, c := range []struct{ country, code, want string }{
		{"US", " 02108 ", "US.02108"}, {"DE", "d-10115", "DE.D-10115"}, {"US", "2108", ""}, {"XX", "02108", ""}, {"DE", "", ""}, {"DE", "1234567890123", ""},
	} {
		s := newShop(t)
		w := s.post("/place", url.Values{"country": {c.country}, "postal": {c.code}, "to": {"/p/LAMP"}})
		set := strings.Join(w.Header().Values("Set-Cookie"), " ")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/p/LAMP" || (c.want == "") != strings.Contains(set, noticeCookie+"=nowhere") ||
			(c.want != "") != strings.Contains(set, placeCookie+"="+url.QueryEscape(c.want)) {
			t.Errorf("%+v: %d, %v", c, w.Code, w.Header())
		}
	}
	s := newShop(t)
	if w := s.post("/place", url.Values{"country": {"US"}, "postal": {"02108"}, "to": {"//elsewhere.example"}}); w.Header().Get("Location") != "/" {
		t.Errorf("it leads to %s", w.Header().Get("Location"))
	}
}

func TestWhatIsLeftIsSaidInHoursAndMinutes(t *testing.T) {
	for d, want := range map[time.Duration]string{200 * time.Minute: "3 h 20 min", 59*time.Minute + 59*time.Second: "59 min", time.Second: "1 min", 60 * time.Minute: "1 h 0 min"} {
		if got := left(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
