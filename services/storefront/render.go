package storefront

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	// cartCookie has how many units are in the cart, for the badge: what is true stands in the cart.
	cartCookie = "cellar_units"
	// noticeCookie has the name of a notice for the next page.
	noticeCookie = "cellar_notice"
	// maxUnits that a badge shows: 200 products of 999 units.
	maxUnits = 200 * 999
)

// notices that a form leaves for the page it leads to.
var notices = map[string]string{
	"added": "Added to your cart.", "updated": "Your cart is updated.", "removed": "Removed.", "later": "Saved for later.", "moved": "Moved to your cart.", "welcome": "Welcome. You are signed in.",
	"merged": "You are signed in. What was in your cart here has been added to your own.", "bye": "You are signed out.", "nowhere": "That is no postal code there.",
	"saved": "Saved.", "deleted": "Deleted.", "canceled": "Your order is canceled.", "partly": "What had not been packed is canceled; the rest is on its way.",
	"returned":  "Your return is registered. Send the items back; the money follows.",
	"published": "Thank you. It is published, and will be here in a moment.", "held": "Thank you. Somebody looks at it before it is published.",
	"sent": "If there is an account with this address, a link is on its way to it.", "renewed": "Your new password is set. Sign in with it.",
	"verified": "Thank you. We know now that the address is yours.", "changed": "Your password is changed. Everybody else is signed out.",
	"everywhere": "You are signed out everywhere.", "erased": "Your account is erased. A last e-mail says so.",
	"voted": "Thank you for your vote. It counts in a moment.",
}

// policy of every page: nothing but the shop's own, and pictures.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// chromeOf a request.
func (s *Service) chromeOf(r *http.Request) chrome {
	var c chrome
	if who, found := session.From(r.Context()); found {
		c.SignedIn = !who.Guest()
	}
	if k, err := r.Cookie(cartCookie); err == nil {
		if n, err := strconv.ParseInt(k.Value, 10, 64); err == nil && n > 0 && n <= maxUnits {
			c.CartUnits = n
		}
	}
	if k, err := r.Cookie(noticeCookie); err == nil {
		c.Notice = notices[k.Value]
	}
	return c
}

// remember something small in the browser, for a time; 0 takes it away.
func remember(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds())} //nolint:gosec // nothing secret is in it
	if age == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// rememberCart for the badge.
func rememberCart(w http.ResponseWriter, units int64) {
	age := session.Lifetime
	if units == 0 {
		age = 0
	}
	remember(w, cartCookie, strconv.FormatInt(units, 10), age)
}

// lead on to a page, where a notice is shown.
func lead(w http.ResponseWriter, r *http.Request, to, notice string) {
	if notice != "" {
		remember(w, noticeCookie, notice, time.Minute)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // G710: what comes from outside has been through localPath
}

// drawnPage is a page as it is sent, and the tag of its content: it costs little beside drawing.
type drawnPage struct {
	body []byte
	tag  string
}

// render a page whole.
func (s *Service) render(page string, data any) (drawnPage, error) {
	var body bytes.Buffer
	t := s.pages[page]
	if t == nil {
		return drawnPage{}, fmt.Errorf("storefront: there is no page %s", page)
	}
	if err := t.Execute(&body, data); err != nil {
		return drawnPage{}, fmt.Errorf("draw %s: %w", page, err)
	}
	sum := sha256.Sum256(body.Bytes())
	return drawnPage{body.Bytes(), `"` + hex.EncodeToString(sum[:12]) + `"`}, nil
}

// shelf of cards as every page shows them, for lists that many pages share: most of the work of drawing a page is in its cards.
func (s *Service) shelf(cards []card) (template.HTML, error) {
	if len(cards) == 0 {
		return "", nil
	}
	var html strings.Builder
	if err := s.pages["home"].ExecuteTemplate(&html, "cards", cards); err != nil {
		return "", fmt.Errorf("draw cards: %w", err)
	}
	return template.HTML(html.String()), nil //nolint:gosec // G203: it is what the template has escaped
}

// draw a page and send it.
func (s *Service) draw(w http.ResponseWriter, r *http.Request, status int, page string, data any) error {
	whole, err := s.render(page, data)
	if err != nil {
		return err
	}
	send(w, r, status, whole)
	return nil
}

// send a page.
func send(w http.ResponseWriter, r *http.Request, status int, page drawnPage) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if _, err := r.Cookie(noticeCookie); err == nil {
		remember(w, noticeCookie, "", 0)
	}
	_, known := session.From(r.Context())
	if status != http.StatusOK || known || r.Method != http.MethodGet || len(r.Cookies()) > 0 {
		h.Set("Cache-Control", "private, no-store")
	} else {
		// The same for every stranger: kept, and asked for by its tag each time. Without asking, a browser would show it
		// to the same person once signed in: cookies are not part of what it keeps pages by.
		h.Set("Cache-Control", "no-cache")
		h.Set("Vary", "Cookie, Authorization")
		h.Set("ETag", page.tag)
		if r.Header.Get("If-None-Match") == page.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(page.body) // the browser may have gone
}

func notFound() error {
	return problem.New(problem.NotFound, "NO_SUCH_PAGE", "there is no such page")
}

// fail shows what went wrong. A customer of another cell is taken there; nothing has been sent yet.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.As(err)
	if p != nil && p.Reason == fence.ReasonWrongCell {
		s.deps.Sessions.WrongCell(w, r, err)
		return
	}
	status, page := http.StatusInternalServerError, "broken"
	switch {
	case p == nil && r.Context().Err() != nil:
		return // nobody is there any more
	case p == nil || p.Kind == problem.Internal:
		s.deps.Log.ErrorContext(r.Context(), "a page failed", "path", r.URL.Path, "error", err)
	case p.Kind == problem.NotFound:
		status, page = http.StatusNotFound, "missing"
	case p.Kind == problem.Unauthenticated || p.Reason == "ACCOUNT_REQUIRED":
		lead(w, r, "/signin?to="+r.URL.EscapedPath(), "")
		return
	case p.Kind == problem.Unavailable:
		status, page = http.StatusServiceUnavailable, "broken"
		w.Header().Set("Retry-After", "2")
	default:
		status, page = http.StatusBadRequest, "refused"
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Notice = true, ""
	data := struct {
		Chrome chrome
		Text   string
	}{Chrome: c}
	if p != nil && p.Kind != problem.Internal {
		data.Text = sentence(p)
	}
	if err := s.draw(w, r, status, page, data); err != nil {
		s.deps.Log.ErrorContext(r.Context(), "the page of an error failed", "error", err)
		http.Error(w, "this page could not be made; try again", http.StatusInternalServerError)
	}
}
