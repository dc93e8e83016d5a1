package storefront

import (
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// maxPictures of a product to choose from: two rows of thumbnails on a telephone.
const maxPictures = 8

// shot is one picture of a product to choose, counted from 1.
type shot struct {
	Number           int
	Image, Alt, Name string
}

// galleryOf a product: its own pictures, or the views of it that are drawn.
func galleryOf(p *catalogv1.Product) (all []shot) {
	own := slices.DeleteFunc(slices.Clone(p.GetImageUrls()), func(u string) bool { return !fetchable(u) })
	for i, u := range own[:min(len(own), maxPictures)] {
		one := shot{Number: i + 1, Image: u, Alt: p.GetTitle(), Name: fmt.Sprint("Picture ", i+1)}
		if i > 0 {
			one.Alt += fmt.Sprint(", picture ", i+1)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		for i, v := range views {
			all = append(all, shot{Number: i + 1, Image: drawn(p.GetSku(), v.name), Alt: v.title(p), Name: v.label})
		}
	}
	return all
}

// picture of a product: its own first, or a drawn one where it has none that can be fetched.
func picture(sku string, urls ...string) string {
	if i := slices.IndexFunc(urls, fetchable); i >= 0 {
		return urls[i]
	}
	return drawn(sku, "")
}

// fetchable tells whether browsers load an address from the shop's pages: a page that is safe shows nothing that is not, and names
// under .example are nobody's (RFC 2606).
func fetchable(u string) bool {
	parsed, err := url.Parse(u)
	return err == nil && parsed.Scheme == "https" && !strings.HasSuffix(parsed.Host, ".example")
}

// drawn is the address of a view of a product.
func drawn(sku, view string) string {
	link := "/images/" + url.PathEscape(sku) + ".svg"
	if view != "" {
		link += "?view=" + view
	}
	return link
}

// image draws a product that has no photograph.
func (s *Service) image(w http.ResponseWriter, r *http.Request) error {
	sku, isSVG := strings.CutSuffix(r.PathValue("name"), ".svg")
	at := slices.IndexFunc(views, func(v view) bool { return v.name == r.URL.Query().Get("view") })
	if !isSVG || at < 0 {
		return notFound()
	}
	resp, err := s.deps.Catalog.GetProduct(r.Context(), &catalogv1.GetProductRequest{Sku: sku})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // opened by itself it runs nothing
	w.Header().Set("Cache-Control", "public, max-age=86400")
	_, _ = io.WriteString(w, drawing(resp.GetProduct(), views[at])) // the browser may have gone
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

// view of a product that is drawn.
type view struct {
	// name in addresses; label for people; suffix of the product's title.
	name, label, suffix string
	// scene around a shape, by the product's own numbers.
	scene func(look look, shape string) string
}

// views of a product; the first is the one that lists show.
var views = []view{
	{"", "From the front", "", func(l look, shape string) string {
		return fmt.Sprintf(`<circle cx="%d" cy="60" r="150" fill="%s"/><ellipse cx="200" cy="262" rx="92" ry="10" opacity=".15"/>%s`,
			60+l.seed%280, l.tint(), turned(200, 150, l.tilt, 2.1, 50, 50, shape))
	}},
	{"detail", "A detail", ", a detail", func(l look, shape string) string {
		x, y := 34+l.seed%33, 34+l.seed/33%33 // of the shape: never its very edge
		return fmt.Sprintf(`<clipPath id="glass"><circle cx="200" cy="150" r="122"/></clipPath><circle cx="200" cy="150" r="122" fill="%s"/><g clip-path="url(#glass)">%s</g>`+
			`<circle cx="200" cy="150" r="122" fill="none" stroke="currentColor" stroke-width="8"/><path d="M288 238l58 46" stroke="currentColor" stroke-width="18" stroke-linecap="round"/>`,
			l.tint(), turned(200, 150, l.tilt, 5.5, x, y, shape))
	}},
	{"use", "In use", ", in use", func(l look, shape string) string {
		left, window := 120, 40 // the thing stands below the window, and somebody sits beside it
		if l.seed%2 == 1 {
			left, window = 280, 270
		}
		return fmt.Sprintf(`<rect x="%d" y="30" width="90" height="100" rx="6" fill="%s"/><path d="M%d 30v100M%d 80h90" stroke="hsl(%d 45%% 90%%)" stroke-width="5"/>`+
			`<g opacity=".35" fill="currentColor"><circle cx="%d" cy="118" r="34"/><path d="M%d 244c0-58 24-86 60-86s60 28 60 86z"/></g>`+
			`<path d="M0 244h400v56H0z" fill="%s"/>%s`,
			window, l.tint(), window+45, window, l.hue, 400-left, 340-left, l.tint(), turned(left, 186, 0, 1.2, 50, 50, shape))
	}},
}

// title of a product's view.
func (v view) title(p *catalogv1.Product) string { return p.GetTitle() + v.suffix }

// look of a product's drawings, made of its SKU: the same every time.
type look struct{ seed, hue, tilt int }

func lookOf(sku string) look {
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, sku) // a hash does not fail
	n := int(sum.Sum32())
	return look{seed: n, hue: n % 360, tilt: n/360%17 - 8}
}

// tint is a second colour beside the ground's.
func (l look) tint() string { return fmt.Sprintf("hsl(%d 50%% 84%%)", (l.hue+40)%360) }

// turned shape: its point x, y comes to a place of the drawing, turned and enlarged.
func turned(atX, atY, tilt int, size float64, x, y int, shape string) string {
	return fmt.Sprintf(`<g transform="translate(%d %d) rotate(%d) scale(%g) translate(-%d -%d)" fill="currentColor">%s</g>`, atX, atY, tilt, size, x, y, shape)
}

// shapeOf a product, by the words of its category and title.
func shapeOf(p *catalogv1.Product) string {
	words := strings.ToLower(strings.Join(p.GetCategoryPath(), " ") + " " + p.GetTitle())
	at := slices.IndexFunc(shapes, func(s struct{ word, path string }) bool { return strings.Contains(words, s.word) })
	return shapes[at].path // the last word is in all
}

// drawing of a view of a product: a shape of its category in a scene of its own colours.
func drawing(p *catalogv1.Product, v view) string {
	l := lookOf(p.GetSku())
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300" role="img" style="--g:hsl(%[1]d 45%% 90%%);color:hsl(%[1]d 45%% 36%%)">`+
		`<title>%[2]s</title><rect width="400" height="300" fill="hsl(%[1]d 45%% 90%%)"/>%[3]s</svg>`, l.hue, html.EscapeString(v.title(p)), v.scene(l, shapeOf(p)))
}
