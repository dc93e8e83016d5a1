package storefront

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// assetLink is an address that changes with the content, so that browsers may keep it for ever.
func (s *Service) assetLink(name string) string {
	return "/assets/" + name + "?v=" + s.assets[name].Version
}

func (s *Service) asset(w http.ResponseWriter, r *http.Request) error {
	a, known := s.assets[r.PathValue("name")]
	if !known {
		return notFound()
	}
	h := w.Header()
	h.Set("Content-Type", a.Type)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.Version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.Content) // the browser may have gone
	return nil
}

// robots may read the shop, and not what is one shopper's.
func (s *Service) robots(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	//nolint:gosec // G705: it is text, and says so; the host is what the client itself called us
	_, err := fmt.Fprintf(w, "User-agent: *\nDisallow: /cart\nDisallow: /checkout\nDisallow: /orders\nDisallow: /account\nDisallow: /signin\nDisallow: /signup\nDisallow: /search\nSitemap: %s/sitemap.xml\n", origin(r))
	return err
}

// origin of the shop as the browser sees it.
func origin(r *http.Request) string {
	scheme := "http"
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// sitemap lists the categories: their pages lead to everything.
func (s *Service) sitemap(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Catalog.ListCategories(r.Context(), &catalogv1.ListCategoriesRequest{})
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">` + "\n")
	for _, link := range append([]string{"/", "/categories"}, categoryLinks(resp.GetCategories())...) {
		fmt.Fprintf(&b, "<url><loc>%s</loc></url>\n", html.EscapeString(origin(r)+link))
	}
	b.WriteString("</urlset>\n")
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = io.WriteString(w, b.String()) // the reader may have gone
	return nil
}

func categoryLinks(categories []*catalogv1.Category) []string {
	links := make([]string, len(categories))
	for i, c := range categories {
		links[i] = categoryLink(c.GetPath())
	}
	return links
}
