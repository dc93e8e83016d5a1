package geo_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/geo"
)

func TestKnownDistances(t *testing.T) {
	paris, london := geo.Point{Lat: 48.8566, Lon: 2.3522}, geo.Point{Lat: 51.5074, Lon: -0.1278}
	if d := geo.DistanceKM(paris, london); math.Abs(d-344) > 1 {
		t.Errorf("Paris to London is %.1f km, want about 344", d)
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	point := rapid.Custom(func(t *rapid.T) geo.Point {
		return geo.Point{Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, "lon")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := point.Draw(t, "a"), point.Draw(t, "b"), point.Draw(t, "c")
		ab, ba, ac, cb := geo.DistanceKM(a, b), geo.DistanceKM(b, a), geo.DistanceKM(a, c), geo.DistanceKM(c, b)
		if ab < 0 || math.Abs(ab-ba) > 1e-6 || ab > ac+cb+1e-6 || ab > math.Pi*6371.01 {
			t.Fatalf("d(a,b)=%v d(b,a)=%v d(a,c)+d(c,b)=%v", ab, ba, ac+cb)
		}
	})
}

func TestAPlaceBetweenTwoIsOnTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := func(name string) geo.Point {
			return geo.Point{Lat: rapid.Float64Range(-90, 90).Draw(t, name+" north"), Lon: rapid.Float64Range(-180, 180).Draw(t, name+" east")}
		}
		a, b, f := place("a"), place("b"), rapid.Float64Range(0, 1).Draw(t, "share")
		all, p := geo.DistanceKM(a, b), geo.Between(a, b, f)
		if all > 20_000 { // nearly opposite: there are many ways
			return
		}
		if gone, ahead := geo.DistanceKM(a, p), geo.DistanceKM(p, b); math.Abs(gone-f*all) > 0.1 || math.Abs(ahead-(1-f)*all) > 0.1 {
			t.Fatalf("at %v it is %v from one and %v from the other, of %v", f, gone, ahead, all)
		}
	})
	if p := geo.Between(geo.Point{Lat: 0, Lon: 0}, geo.Point{Lat: 0, Lon: 180}, 0.9); p != (geo.Point{Lat: 0, Lon: 180}) {
		t.Errorf("between opposite places it is %v", p)
	}
}

func TestLocateFindsTheRegionOfAPostalCode(t *testing.T) {
	for _, c := range []struct {
		country, code string
		near          geo.Point
		km            float64
	}{
		{"US", "10001", geo.Point{Lat: 40.75, Lon: -73.99}, 20},
		{"US", "94103", geo.Point{Lat: 37.77, Lon: -122.42}, 20},
		{"DE", "80331", geo.Point{Lat: 48.14, Lon: 11.58}, 20},
		{"FR", "75001", geo.Point{Lat: 48.86, Lon: 2.34}, 20},
		{"GB", "SW1A 1AA", geo.Point{Lat: 52.5, Lon: -1.5}, 1},
		{"US", "", geo.Point{Lat: 39.8, Lon: -98.6}, 50},
	} {
		p, ok := geo.Locate(c.country, c.code)
		if d := geo.DistanceKM(p, c.near); !ok || d > c.km {
			t.Errorf("%s %s is %.0f km away from where it should be (%v)", c.country, c.code, d, ok)
		}
	}
	if _, ok := geo.Locate("XX", "1"); ok || geo.Supported("XX") || !geo.Supported("US") {
		t.Error("countries are told apart")
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("US", "10001")
	f.Fuzz(func(t *testing.T, country, code string) {
		if p, ok := geo.Locate(country, code); ok && (math.Abs(p.Lat) > 90 || math.Abs(p.Lon) > 180) {
			t.Errorf("%v", p)
		}
	})
}
