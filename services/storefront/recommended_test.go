package storefront

import (
	"context"
	"net/http"
	"strings"
	"testing"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
)

type recommendationFake struct {
	recommendationv1connect.RecommendationServiceClient
	*shop
}

func (f recommendationFake) BatchForProduct(_ context.Context, r *recommendationv1.BatchForProductRequest) (*recommendationv1.BatchForProductResponse, error) {
	f.query = "with " + strings.Join(r.GetSkus(), ",")
	return &recommendationv1.BatchForProductResponse{Others: map[string]*recommendationv1.AlsoBought{"LAMP": {Others: []*recommendationv1.Recommended{{Sku: "LAMP"}}}}}, f.refused
}

func (f recommendationFake) ForCart(_ context.Context, r *recommendationv1.ForCartRequest) (*recommendationv1.ForCartResponse, error) {
	f.query = "with " + strings.Join(r.GetSkus(), ",")
	return &recommendationv1.ForCartResponse{Recommended: []*recommendationv1.Recommended{{Sku: "LAMP"}}}, f.refused
}

func (f recommendationFake) ForHome(_ context.Context, r *recommendationv1.ForHomeRequest) (*recommendationv1.ForHomeResponse, error) {
	f.query = "with " + strings.Join(r.GetSkus(), ",")
	return &recommendationv1.ForHomeResponse{Recommended: []*recommendationv1.Recommended{{Sku: "LAMP"}}}, f.refused
}

func TestPagesRecommendWhatGoesWithTheProduct(t *testing.T) {
	s := newShop(t)
	for page, want := range map[string]string{"/p/LAMP": "Also bought with it", "/": "Goes with what you looked at", "/cart": "Bought together with these"} {
		s.query = ""
		s.who = guest
		w := s.get(page, &http.Cookie{Name: seenCookie, Value: "LAMP"})
		if !strings.Contains(w.Body.String(), want) || s.query != "with LAMP" {
			t.Errorf("%s asks %q and shows %s", page, s.query, w.Body.String())
		}
	}
}
