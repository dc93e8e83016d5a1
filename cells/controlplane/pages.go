package controlplane

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/cells/evacuation"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// pages for browsers: they only show, and only to this machine, since a browser has no key to show.
func (s *Service) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /evacuations/{id}", local(s.evacuationPage))
}

// evacuationPage is the report of a move: as a page, or as JSON when the id ends with .json.
func (s *Service) evacuationPage(w http.ResponseWriter, r *http.Request) {
	id, asJSON := strings.CutSuffix(r.PathValue("id"), ".json")
	e, err := s.moves.Get(r.Context(), id)
	if problem.KindOf(err) == problem.NotFound {
		http.Error(w, "there is no such evacuation", http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	if err == nil && asJSON {
		err = writeJSON(&body, e)
	} else if err == nil {
		err = evacuation.Page(&body, e)
	}
	if err != nil {
		s.deps.Log.ErrorContext(r.Context(), "a page could not be made", "move", id, "error", err)
		http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
		return
	}
	kind := "text/html; charset=utf-8"
	if asJSON {
		kind = "application/json"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store") // it goes on
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = body.WriteTo(w) // the reader may have gone
}

func writeJSON(out *bytes.Buffer, m proto.Message) error {
	b, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return json.Indent(out, b, "", "  ") // protojson's own white space is not the same twice
}

// local lets pass what a browser of this machine asks of an address of this machine. The host is looked at too: a page from
// elsewhere can give a name of its own to 127.0.0.1.
func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || !loopback(from) || !loopback(hostname(r.Host)) {
			http.Error(w, "this page is shown on the control plane's own machine only", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
