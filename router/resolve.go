package router

import (
	"net/http"
	"strings"
	"unsafe"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
)

// who is found out from the fields of a request, looked at in their order: whom its session says it is from, looked for
// where cells look for it. The header wins over the cookie. Nothing here allocates.
type who struct {
	customer ident.CustomerID
	owned    bool
	logins   int  // Authorization fields so far: the first counts
	bearer   bool // it is one of ours: cookies do not count
}

func (w *who) authorization(value string) {
	w.logins++
	if w.logins > 1 {
		return
	}
	if token, ok := strings.CutPrefix(value, "Bearer "); ok {
		w.bearer = true
		w.customer, w.owned = session.ParseCustomer(strings.TrimSpace(token))
	}
}

func (w *who) cookie(line string) {
	for line != "" && !w.bearer && !w.owned {
		pair := line
		if i := strings.IndexByte(line, ';'); i >= 0 {
			pair, line = line[:i], line[i+1:]
		} else {
			line = ""
		}
		if value, ours := strings.CutPrefix(strings.TrimSpace(pair), session.CookieName+"="); ours {
			// One that is no token may be somebody else's, of a parent domain: the next may be ours.
			w.customer, w.owned = session.ParseCustomer(strings.Trim(value, `"`))
		}
	}
}

// customerOf a request of net/http.
func customerOf(h http.Header) (ident.CustomerID, bool) {
	var w who
	for _, value := range h["Authorization"] {
		w.authorization(value)
	}
	for _, line := range h["Cookie"] {
		w.cookie(line)
	}
	return w.customer, w.owned
}

// customerIn the fields of a request on the lean path. The id lives in the request's buffer: clone it to keep it.
func customerIn(fields []http1.Field) (ident.CustomerID, bool) {
	var w who
	for i := range fields {
		switch f := &fields[i]; {
		case f.Is("authorization"):
			w.authorization(view(f.Value))
		case f.Is("cookie"):
			w.cookie(view(f.Value))
		}
	}
	return w.customer, w.owned
}

// view bytes as a string without copying them. They must not change while it is used.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // G103: copying would allocate for each request
}
