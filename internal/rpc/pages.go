package rpc

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/session"
)

// maxForm of a page's form in bytes: the longest, an address, has less than two thousand.
const maxForm = 64 << 10

// Pages guards shoppers' pages as Public guards their calls. What comes from another site's page is refused; a session
// that is no longer good is taken away, and its shopper is a stranger again; whose slot another cell owns is sent there by
// the router, before anything has happened.
type Pages struct {
	gate *gate
	// anywhere tells which requests any cell may answer, whoever asks.
	anywhere func(*http.Request) bool
	origin   *http.CrossOriginProtection
}

// NewPages with the dependencies of Public. anywhere tells which requests any cell may answer, whoever asks.
func NewPages(deps PublicDeps, anywhere func(*http.Request) bool) *Pages {
	return &Pages{gate: &gate{PublicDeps: deps, errors: connect.NewErrorWriter()}, anywhere: anywhere, origin: http.NewCrossOriginProtection()}
}

// Guard pages.
func (p *Pages) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.origin.Check(r); err != nil {
			http.Error(w, "this form was sent by another site's page", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if p.anywhere(r) && r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		who, found, err := p.gate.authenticate(r)
		if err != nil {
			p.SignOut(w)
		}
		if found {
			if err := p.gate.Fence.Check(r.Context(), who.CustomerID); err != nil && !p.anywhere(r) {
				p.WrongCell(w, r, err)
				return
			} else if err == nil && p.gate.valid(r.Context(), who) != nil {
				p.SignOut(w)
				next.ServeHTTP(w, r)
				return
			}
			if token, expires, due := p.gate.Sessions.Renew(TokenOf(r.Header), p.gate.Clock.Now()); due {
				p.GiveSession(w, token, expires)
			}
			r = r.WithContext(session.With(r.Context(), who))
		}
		next.ServeHTTP(w, r)
	})
}

// WrongCell answers so that the router takes the request to the cell that an error names. Nothing may have been written.
func (p *Pages) WrongCell(w http.ResponseWriter, r *http.Request, err error) {
	p.gate.refuse(w, r, err)
}

// Guest makes a stranger a guest of this cell.
func (p *Pages) Guest(ctx context.Context, w http.ResponseWriter) context.Context {
	if _, found := session.From(ctx); found {
		return ctx
	}
	return session.With(ctx, p.gate.newGuest(w))
}

// SignOut takes the session away.
func (p *Pages) SignOut(w http.ResponseWriter) {
	c := Cookie("", p.gate.Clock.Now(), p.gate.SecureCookies) //nolint:gosec // G124: Cookie sets all three; Secure is the operator's
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// GiveSession to the browser.
func (p *Pages) GiveSession(w http.ResponseWriter, token string, expires time.Time) {
	http.SetCookie(w, Cookie(token, expires, p.gate.SecureCookies))
}
