package storefront

import (
	"fmt"
	"hash/fnv"
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

// image draws a product that has no photograph: a shape of its category on a ground of its own, the same every time.
func (s *Service) image(w http.ResponseWriter, r *http.Request) error {
	sku, isSVG := strings.CutSuffix(r.PathValue("name"), ".svg")
	if !isSVG {
		return notFound()
	}
	resp, err := s.deps.Catalog.GetProduct(r.Context(), &catalogv1.GetProductRequest{Sku: sku})
	if err != nil {
		return err
	}
	p := resp.GetProduct()
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // opened by itself it runs nothing
	w.Header().Set("Cache-Control", "public, max-age=86400")
	_, _ = io.WriteString(w, drawing(p)) // the browser may have gone
	return nil
}

// shapes of things, 100 by 100, by a word of the category; the last fits anything.
var shapes = []struct{ word, path string }{
	{"headphone", `<path d="M22 62V50a28 28 0 0 1 56 0v12" fill="none" stroke="currentColor" stroke-width="7"/><rect x="14" y="56" width="18" height="28" rx="7"/><rect x="68" y="56" width="18" height="28" rx="7"/>`},
	{"audio", `<rect x="28" y="12" width="44" height="76" rx="8"/><circle cx="50" cy="62" r="15" fill="var(--g)"/><circle cx="50" cy="30" r="7" fill="var(--g)"/>`},
	{"phone", `<rect x="30" y="10" width="40" height="80" rx="8"/><rect x="35" y="18" width="30" height="58" fill="var(--g)"/><circle cx="50" cy="83" r="3" fill="var(--g)"/>`},
	{"laptop", `<rect x="20" y="22" width="60" height="42" rx="5"/><rect x="26" y="28" width="48" height="30" fill="var(--g)"/><path d="M10 70h80l-6 10H16z"/>`},
	{"computer", `<rect x="12" y="18" width="76" height="50" rx="5"/><rect x="18" y="24" width="64" height="38" fill="var(--g)"/><path d="M40 68h20l4 14H36z"/>`},
	{"monitor", `<rect x="12" y="18" width="76" height="50" rx="5"/><rect x="18" y="24" width="64" height="38" fill="var(--g)"/><path d="M40 68h20l4 14H36z"/>`},
	{"camera", `<path d="M12 32h18l7-10h26l7 10h18v46H12z"/><circle cx="50" cy="54" r="16" fill="var(--g)"/><circle cx="50" cy="54" r="9"/>`},
	{"shoe", `<path d="M12 40c12 4 20-2 24-10l26 22c8 6 24 6 26 14v10H12z"/><path d="M12 80h76v6H12z" opacity=".5"/>`},
	{"cloth", `<path d="M34 16l16 8 16-8 22 16-10 16-8-5v43H30V43l-8 5-10-16z"/>`},
	{"fashion", `<path d="M34 16l16 8 16-8 22 16-10 16-8-5v43H30V43l-8 5-10-16z"/>`},
	{"book", `<path d="M16 18h32v68H16zM52 18h32v68H52z"/><path d="M22 30h20M22 40h20M58 30h20M58 40h20" stroke="var(--g)" stroke-width="4"/>`},
	{"kitchen", `<path d="M18 40h54v22a20 20 0 0 1-20 20H38a20 20 0 0 1-20-20z"/><path d="M72 46h8a8 8 0 0 1 0 18h-8" fill="none" stroke="currentColor" stroke-width="6"/><path d="M34 32c-4-6 4-8 0-16M50 32c-4-6 4-8 0-16" fill="none" stroke="currentColor" stroke-width="4"/>`},
	{"furniture", `<path d="M18 46a8 8 0 0 1 16 0v8h32v-8a8 8 0 0 1 16 0v30H18z"/><path d="M28 40V28a8 8 0 0 1 8-8h28a8 8 0 0 1 8 8v12" fill="none" stroke="currentColor" stroke-width="7"/><path d="M24 76v10M76 76v10" stroke="currentColor" stroke-width="6"/>`},
	{"light", `<path d="M36 20h28l12 30H24z"/><path d="M50 50v28M34 82h32" stroke="currentColor" stroke-width="7"/>`},
	{"toy", `<circle cx="50" cy="38" r="20"/><circle cx="33" cy="22" r="9"/><circle cx="67" cy="22" r="9"/><ellipse cx="50" cy="72" rx="24" ry="18"/><circle cx="43" cy="36" r="3" fill="var(--g)"/><circle cx="57" cy="36" r="3" fill="var(--g)"/>`},
	{"sport", `<circle cx="50" cy="50" r="34"/><path d="M16 50h68M50 16v68M26 26c16 14 16 34 0 48M74 26c-16 14-16 34 0 48" fill="none" stroke="var(--g)" stroke-width="4"/>`},
	{"beauty", `<path d="M40 34h20v52H40z"/><path d="M44 34V20l12-8v22z"/>`},
	{"health", `<path d="M40 16h20v24h24v20H60v24H40V60H16V40h24z"/>`},
	{"garden", `<path d="M50 88V44" stroke="currentColor" stroke-width="6"/><path d="M50 52C20 52 18 26 18 18c20 0 32 10 32 34zM50 62c26 0 32-18 32-30-20 0-32 10-32 30z"/>`},
	{"tool", `<path d="M62 14a20 20 0 0 0-14 30L16 76l10 10 32-32a20 20 0 0 0 28-24L74 42l-12-4-4-12z"/>`},
	{"pet", `<ellipse cx="50" cy="66" rx="20" ry="16"/><circle cx="26" cy="46" r="9"/><circle cx="42" cy="32" r="9"/><circle cx="60" cy="32" r="9"/><circle cx="75" cy="46" r="9"/>`},
	{"grocer", `<path d="M16 34h68l-8 50H24z"/><path d="M32 34a18 18 0 0 1 36 0" fill="none" stroke="currentColor" stroke-width="6"/>`},
	{"food", `<path d="M16 34h68l-8 50H24z"/><path d="M32 34a18 18 0 0 1 36 0" fill="none" stroke="currentColor" stroke-width="6"/>`},
	{"watch", `<path d="M36 8h28v20H36zM36 72h28v20H36z" opacity=".6"/><circle cx="50" cy="50" r="27"/><path d="M50 34v16l10 8" fill="none" stroke="var(--g)" stroke-width="5"/>`},
	{"", `<path d="M50 12l36 18v40L50 88 14 70V30z"/><path d="M14 30l36 18 36-18M50 48v40" fill="none" stroke="var(--g)" stroke-width="4"/>`},
}

// drawing of a product. Its colours and tilt come from its SKU.
func drawing(p *catalogv1.Product) string {
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, p.GetSku()) // a hash does not fail
	n := sum.Sum32()
	hue, tilt := n%360, int(n/360%17)-8
	words := strings.ToLower(strings.Join(p.GetCategoryPath(), " ") + " " + p.GetTitle())
	shape := ""
	for _, s := range shapes {
		if strings.Contains(words, s.word) {
			shape = s.path
			break
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300" role="img" style="--g:hsl(%[1]d 45%% 90%%);color:hsl(%[1]d 45%% 36%%)">`+
		`<title>%[2]s</title><rect width="400" height="300" fill="hsl(%[1]d 45%% 90%%)"/><circle cx="%[3]d" cy="60" r="150" fill="hsl(%[4]d 50%% 84%%)"/>`+
		`<ellipse cx="200" cy="262" rx="92" ry="10" opacity=".15"/><g transform="translate(200 150) rotate(%[5]d) scale(2.1) translate(-50 -50)" fill="currentColor">%[6]s</g></svg>`,
		hue, html.EscapeString(p.GetTitle()), 60+n%280, (hue+40)%360, tilt, shape)
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
