package storefront

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

func TestADrawingIsTheSameEveryTimeAndHarmless(t *testing.T) {
	seen := map[string]string{}
	for _, sku := range []string{"LAMP", "OTHER"} {
		p := lamp()
		p.Sku = sku
		for _, v := range views {
			one := drawing(p, v)
			if drawing(p, v) != one || strings.Contains(one, "<b>") {
				t.Errorf("%s", one)
			}
			if other, known := seen[one]; known {
				t.Errorf("%s of %s looks like %s", v.label, sku, other)
			}
			seen[one] = v.label + " of " + sku
			for d := xml.NewDecoder(strings.NewReader(one)); ; {
				if _, err := d.Token(); err == io.EOF { //nolint:errorlint // the decoder gives it as it is
					break
				} else if err != nil {
					t.Fatalf("%s of %s: %v", v.label, sku, err)
				}
			}
		}
	}
}

func TestAProductsPageOffersItsPicturesToChooseFrom(t *testing.T) {
	s := newShop(t)
	page := s.get("/p/LAMP").Body.String()
	has(t, page, `rel="preload" as="image" href="/images/LAMP.svg"`, `id="picture-1" checked`, `alt="From the front"`, `id="picture-2"`, `src="/images/LAMP.svg?view=detail" alt="A detail"`,
		`alt="A &lt;b&gt;&#34;lamp&#34;&lt;/b&gt;, a detail"`, `id="picture-3"`, `src="/images/LAMP.svg?view=use" alt="In use"`)
	for _, path := range []string{"/images/LAMP.svg", "/images/LAMP.svg?view=detail", "/images/LAMP.svg?view=use"} {
		if w := s.get(path); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/svg+xml" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if w := s.get("/images/LAMP.svg?view=below"); w.Code != http.StatusNotFound {
		t.Errorf("a view that nobody draws: %d", w.Code)
	}
}

func TestAProductsOwnPicturesAreShownWhereBrowsersMayLoadThem(t *testing.T) {
	of := func(urls ...string) (images []string) {
		for _, one := range galleryOf(&catalogv1.Product{Sku: "LAMP", Title: "Lamp", ImageUrls: urls}) {
			images = append(images, one.Image)
		}
		return images
	}
	if got := of("https://img.shop.test/1.jpg", "http://img.shop.test/2.jpg", "https://img.example/3.jpg", "https://img.shop.test/4.jpg"); strings.Join(got, " ") != "https://img.shop.test/1.jpg https://img.shop.test/4.jpg" {
		t.Errorf("of four it shows %v", got)
	}
	if got := of("http://img.shop.test/2.jpg"); len(got) != len(views) || got[0] != picture("LAMP") {
		t.Errorf("without one that can be loaded it shows %v", got)
	}
	if got := of(strings.Split(strings.Repeat("https://img.shop.test/1.jpg ", 20), " ")...); len(got) != maxPictures {
		t.Errorf("of twenty it shows %d", len(got))
	}
	if !strings.Contains(policy, "img-src 'self' https:") {
		t.Error("the policy keeps browsers from loading them")
	}
	s := newShop(t)
	s.pictured = []string{"https://img.shop.test/1.jpg"}
	page := s.get("/p/LAMP").Body.String()
	has(t, page, `src="https://img.shop.test/1.jpg"`)
	if strings.Contains(page, "<label for=\"picture-1\"") {
		t.Error("one picture is no choice")
	}
}
