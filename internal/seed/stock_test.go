package seed_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
)

func TestTheNetworkHas175CentersInThreeRegions(t *testing.T) {
	regions, ids := map[ident.Region]int{}, map[string]bool{}
	for _, c := range seed.FulfillmentCenters() {
		regions[c.Region]++
		ids[c.ID] = true
		if !geo.Supported(c.CountryCode) || c.Name == "" || c.City == "" {
			t.Errorf("%+v", c)
		}
		home, _ := geo.Locate(c.CountryCode, "")
		// The farthest corners of the United States from their centre, and of a European country from its own.
		if far := geo.DistanceKM(home, c.At); (c.CountryCode == "US" && far > 2700) || (c.CountryCode != "US" && far > 900) {
			t.Errorf("%s lies %.0f km from the middle of %s", c.ID, far, c.CountryCode)
		}
		if european := c.At.Lon > -30; european != (c.Region == "eu-central-1") {
			t.Errorf("%s in %s belongs to %s", c.ID, c.City, c.Region)
		}
	}
	if len(ids) != 175 || len(regions) != len(ident.Regions()) {
		t.Errorf("%d centres in %v", len(ids), regions)
	}
	for _, region := range ident.Regions() {
		if regions[region] < 45 {
			t.Errorf("%s has only %d centres", region, regions[region])
		}
	}
}

func TestCentersAreACopy(t *testing.T) {
	seed.FulfillmentCenters()[0].ID = "changed"
	if seed.FulfillmentCenters()[0].ID == "changed" {
		t.Error("a caller can change the network")
	}
}

func TestStockNamesKnownCentersOnceEach(t *testing.T) {
	regions := map[string]ident.Region{}
	for _, c := range seed.FulfillmentCenters() {
		regions[c.ID] = c.Region
	}
	rapid.Check(t, func(t *rapid.T) {
		p := &catalogv1.Product{Sku: rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`).Draw(t, "sku"), Popularity: rapid.Int32Range(0, 1_000_000).Draw(t, "popularity")}
		seen := map[string]bool{}
		for _, l := range seed.Stock(p, rapid.Uint64().Draw(t, "seed")) {
			if seen[l.FC] || l.Quantity < 1 || regions[l.FC] != l.Region {
				t.Fatalf("%+v", l)
			}
			seen[l.FC] = true
		}
		if len(seen) > 40 {
			t.Fatalf("in %d centres", len(seen))
		}
	})
}

func TestStockIsPlentifulForBestSellersAndShortForSome(t *testing.T) {
	lines, soldOut, short := 0, 0, 0
	for p := range seed.Products(size, 1) {
		stock, units := seed.Stock(p, 1), int64(0)
		for _, l := range stock {
			units += l.Quantity
		}
		lines += len(stock)
		switch {
		case units == 0:
			soldOut++
		case units <= 5:
			short++
		case p.GetPopularity() > 100_000 && units < 1000:
			t.Errorf("%s sells %d and has %d units", p.GetSku(), p.GetPopularity(), units)
		}
	}
	near := func(what string, got, want, tolerance float64) {
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s: %.4f, want about %.4f", what, got, want)
		}
	}
	near("lines a product", float64(lines)/size, 11, 1.5)
	near("sold out", float64(soldOut)/size, 0.010, 0.004)
	near("scarce", float64(short)/size, 0.033, 0.010)
}
