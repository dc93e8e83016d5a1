package rpc

import (
	"context"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	optionsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/options/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// MaxBody of a request in bytes: the largest honest one, a restock of 1,000 lines, has some 100 kB.
const MaxBody = 1 << 20

// PublicDeps of the public listener's gate.
type PublicDeps struct {
	Sessions *session.Signer
	Fence    fence.Fence
	Clock    clock.Clock
	// SecureCookies marks the session cookie Secure: on wherever the router speaks TLS.
	SecureCookies bool
	// Valid refuses a session that was ended before its time; nil: none is.
	Valid func(context.Context, session.Principal) error
}

// valid asks whether a session is good still.
func (d PublicDeps) valid(ctx context.Context, p session.Principal) error {
	if d.Valid == nil {
		return nil
	}
	return d.Valid(ctx, p)
}

// Public guards the shoppers' listener: it refuses what is not for them, finds out who they are (a shopper without
// a session becomes a guest of this cell) and redirects those whose slot another cell owns.
func Public(deps PublicDeps, next http.Handler) http.Handler {
	return &gate{PublicDeps: deps, next: next, errors: connect.NewErrorWriter()}
}

type gate struct {
	PublicDeps
	next   http.Handler
	errors *connect.ErrorWriter
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, known := MethodOf(r.URL.Path)
	if !known || m.Audience != optionsv1.Audience_AUDIENCE_PUBLIC {
		// The same answer for both: outside, internal methods do not exist.
		g.refuse(w, r, problem.New(problem.NotFound, "UNKNOWN_METHOD", "there is no such method"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	p, found, err := g.authenticate(r)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	if m.Ownership == optionsv1.Ownership_OWNERSHIP_SESSION {
		if !found {
			p = g.newGuest(w)
			found = true
		} else if err := g.Fence.Check(r.Context(), p.CustomerID); err != nil {
			g.refuse(w, r, err)
			return
		} else if err := g.valid(r.Context(), p); err != nil {
			g.refuse(w, r, err)
			return
		}
	}
	if found {
		r = r.WithContext(session.With(r.Context(), p))
		// What one shopper is shown must not be kept for another.
		w.Header().Set("Cache-Control", "private, no-store")
	}
	g.next.ServeHTTP(w, r)
}

// authenticate finds the session of a request: the header wins over the cookie.
func (g *gate) authenticate(r *http.Request) (p session.Principal, found bool, err error) {
	token := TokenOf(r.Header)
	if token == "" {
		return session.Principal{}, false, nil
	}
	p, err = g.Sessions.Verify(token, g.Clock.Now())
	return p, err == nil, err
}

// TokenOf a request's headers; empty when there is none.
func TokenOf(h http.Header) string {
	if token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(token)
	}
	// This reader passes over malformed cookies: somebody else's must not cost a shopper the session.
	for _, c := range (&http.Request{Header: h}).CookiesNamed(session.CookieName) {
		return c.Value
	}
	return ""
}

func (g *gate) newGuest(w http.ResponseWriter) session.Principal {
	p := session.Principal{CustomerID: g.Fence.MintGuest(), SessionID: session.NewID()}
	token, expires := g.Sessions.Issue(p, g.Clock.Now())
	w.Header().Set(session.Header, token)
	http.SetCookie(w, Cookie(token, expires, g.SecureCookies))
	return p
}

// Cookie that keeps a session in a browser.
func Cookie(token string, expires time.Time, secure bool) *http.Cookie {
	//nolint:gosec // Secure is the operator's: a platform on a laptop speaks plain HTTP
	return &http.Cookie{Name: session.CookieName, Value: token, Path: "/", Expires: expires, HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode}
}

func (g *gate) refuse(w http.ResponseWriter, r *http.Request, err error) {
	writeError(g.errors, w, r, err)
}

// writeError answers in the protocol of the request: Connect, gRPC or gRPC-Web; plain Connect JSON for anything else.
func writeError(ew *connect.ErrorWriter, w http.ResponseWriter, r *http.Request, err error) {
	// The writer cannot fail but by a broken connection, and then nobody is left to be told.
	_ = ew.Write(w, r, toWire(err))
}
