package controlplane

import (
	"net"
	"net/http"
)

// pages for browsers: they only show, and only to this machine, since a browser has no key to show.
func (s *Service) pages(mux *http.ServeMux) {
	_ = mux
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
