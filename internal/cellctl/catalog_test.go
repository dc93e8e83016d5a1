package cellctl

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

func TestAProductIsToldAsSoldOrWithdrawn(t *testing.T) {
	at := timestamppb.New(time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC))
	for want, p := range map[string]*catalogv1.Product{
		"A-1, Lamp, is for sale (version 3)":                                              {Sku: "A-1", Title: "Lamp", Version: 3},
		"A-1, Lamp�, is withdrawn since 2026-05-01T00:00:00Z (version 4)":                 {Sku: "A-1", Title: "Lamp\x1b", Version: 4, WithdrawnAt: at},
		"A-2, Lamp, is withdrawn since 2026-05-01T00:00:00Z (version 1), an offer of A-1": {Sku: "A-2", Title: "Lamp", Version: 1, WithdrawnAt: at, OfferOf: "A-1"},
	} {
		if got := saleOf(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
