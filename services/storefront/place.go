package storefront

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/postal"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// placeCookie has where the shopper is, as "US.02108": for what a product's page says of the day it comes. An order has its
	// own address.
	placeCookie = "cellar_place"
	placeKept   = 180 * 24 * time.Hour
	// arrivalFor bounds the wait for the plan: nearly all are made from memory, and the page can do without.
	arrivalFor = 150 * time.Millisecond
)

// place of a shopper.
type place struct{ Country, Code string }

// placeOf a request; false when none is known.
func placeOf(r *http.Request) (place, bool) {
	k, err := r.Cookie(placeCookie)
	if err != nil {
		return place{}, false
	}
	value, err := url.QueryUnescape(k.Value)
	country, code, _ := strings.Cut(value, ".")
	return place{country, code}, err == nil && postal.Place(country, code)
}

// setPlace that the shopper has given, for the pages of products.
func (s *Service) setPlace(w http.ResponseWriter, r *http.Request) error {
	to := localPath(r.PostFormValue("to"))
	p := place{r.PostFormValue("country"), strings.ToUpper(strings.TrimSpace(r.PostFormValue("postal")))}
	if !postal.Place(p.Country, p.Code) {
		lead(w, r, to, "nowhere")
		return nil
	}
	remember(w, placeCookie, url.QueryEscape(p.Country+"."+p.Code), placeKept)
	lead(w, r, to, "")
	return nil
}

// arrival of one unit of a product at the shopper's place.
type arrival struct {
	Place place
	// Day it comes at the latest, for who orders within Left; empty when it is not known.
	Day  string
	Left time.Duration
	// SoldOut: no centre has one.
	SoldOut bool
}

// arrivalOf an offer, by express where it is Prime; nil when nobody has said where to.
func (s *Service) arrivalOf(r *http.Request, o offer) *arrival {
	to, known := placeOf(r)
	if !known {
		return nil
	}
	speed := fulfillmentv1.Speed_SPEED_STANDARD
	if o.Prime {
		speed = fulfillmentv1.Speed_SPEED_EXPRESS
	}
	ctx, cancel := context.WithTimeout(r.Context(), arrivalFor)
	defer cancel()
	plan, err := s.deps.Planner.PlanOrder(ctx, &fulfillmentv1.PlanOrderRequest{
		ShipTo: &postalv1.PostalAddress{RegionCode: to.Country, PostalCode: to.Code}, Lines: []*fulfillmentv1.PlanLine{{Line: 1, Sku: o.SKU, Quantity: 1}}, Speed: speed,
	})
	a := &arrival{Place: to, SoldOut: problem.Is(err, "OUT_OF_STOCK")}
	if parcels := plan.GetParcels(); err == nil && len(parcels) == 1 {
		a.Day, a.Left = parcels[0].GetDeliverDay(), parcels[0].GetOrderBy().AsTime().Sub(s.deps.Clock.Now())
	}
	return a
}
