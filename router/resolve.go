package router

import (
	"net/http"
	"strings"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
)

// customerOf a request: whom its session says it is from, looked for where cells look for it: the header wins over the
// cookie. It does not allocate for what browsers and apps send.
func customerOf(h http.Header) (ident.CustomerID, bool) {
	if token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return session.ParseCustomer(strings.TrimSpace(token))
	}
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if name != session.CookieName {
				continue
			}
			// One that is no token may be somebody else's, of a parent domain: the next may be ours.
			if id, ok := session.ParseCustomer(strings.Trim(value, `"`)); ok {
				return id, true
			}
		}
	}
	return "", false
}
