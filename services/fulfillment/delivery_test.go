package fulfillment

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/geo"
)

var (
	newark  = geo.Point{Lat: 40.7, Lon: -74.2}
	newYork = geo.Point{Lat: 40.7, Lon: -74.0}
	seattle = geo.Point{Lat: 47.6, Lon: -122.3}
)

func utc(day, hour, minute int) time.Time {
	return time.Date(2031, time.May, day, hour, minute, 0, 0, time.UTC)
}

func TestAnOrderLeavesTheSameDayUntilTheCutOffByTheCentersClock(t *testing.T) {
	for _, c := range []struct {
		what      string
		fc        geo.Point
		now, want time.Time
	}{
		{"morning in Newark", newark, utc(4, 12, 0), utc(5, 1, 0)},
		{"a minute before the cut-off", newark, utc(4, 18, 59), utc(5, 1, 0)},
		{"at the cut-off", newark, utc(4, 19, 0), utc(6, 1, 0)},
		{"evening in Newark is afternoon in Seattle", seattle, utc(4, 21, 59), utc(5, 4, 0)},
		{"and then the cut-off there", seattle, utc(4, 22, 0), utc(6, 4, 0)},
		{"past midnight by UTC, not yet in Newark", newark, utc(5, 2, 0), utc(6, 1, 0)},
	} {
		if got := shipBy(c.fc, c.now); !got.Equal(c.want) {
			t.Errorf("%s: leaves at %s, want %s", c.what, got, c.want)
		}
	}
}

func TestAParcelIsPromisedForTheEndOfADayAtTheDoor(t *testing.T) {
	for _, c := range []struct {
		what     string
		fc, to   geo.Point
		speed    Speed
		zone     int
		day      int
		delivers time.Time
		cents    int64
	}{
		{"next door", newark, newYork, Standard, 1, 1, utc(6, 4, 59), 420},
		{"next door, express", newark, newYork, Express, 1, 1, utc(6, 4, 59), 790},
		{"across the country", seattle, newYork, Standard, 8, 7, utc(12, 4, 59), 1290},
		{"across the country, express", seattle, newYork, Express, 8, 3, utc(8, 4, 59), 3190},
	} {
		got := LegOf(c.fc, c.to, c.speed, utc(4, 12, 0))
		if zoneOf(got.KM) != &zones[c.zone-1] || got.Day != c.day || !got.DeliverBy.Equal(c.delivers.Add(59*time.Second)) || got.Cents != c.cents {
			t.Errorf("%s: %+v; want zone %d, day %d, %s, %d cents", c.what, got, c.zone, c.day, c.delivers, c.cents)
		}
	}
	if got := cost(20, Express, 3); got.Minor != 790+3*70 || got.Currency != "USD" {
		t.Errorf("three units next door by express cost %s", got)
	}
}

func TestTheZonesGrowInEveryWay(t *testing.T) {
	for i, z := range zones {
		for speed := range z.days {
			if i > 0 && (z.upTo <= zones[i-1].upTo || z.days[speed] < zones[i-1].days[speed] || z.cents[speed] <= zones[i-1].cents[speed]) {
				t.Errorf("zone %d is not beyond zone %d at speed %d", i+1, i, speed)
			}
		}
		if z.days[Express] > z.days[Standard] || z.cents[Express] <= z.cents[Standard] || z.days[Express] < 1 {
			t.Errorf("express is no better than standard in zone %d", i+1)
		}
	}
	if !math.IsInf(zones[len(zones)-1].upTo, 1) {
		t.Error("some place is in no zone")
	}
}

func drawPoint(t *rapid.T, label string) geo.Point {
	return geo.Point{Lat: rapid.Float64Range(-90, 90).Draw(t, label+" lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, label+" lon")}
}

func TestPromisesKeepTheirLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fc, to := drawPoint(t, "fc"), drawPoint(t, "to")
		now := utc(4, 0, 0).Add(time.Duration(rapid.Int64Range(0, 14*86400).Draw(t, "now")) * time.Second)
		standard, express := LegOf(fc, to, Standard, now), LegOf(fc, to, Express, now)
		if express.DeliverBy.After(standard.DeliverBy) || express.Day > standard.Day {
			t.Fatalf("express comes %s, standard %s", express.DeliverBy, standard.DeliverBy)
		}
		for _, l := range []Leg{standard, express} {
			if !l.ShipBy.After(now) || l.ShipBy.Sub(now) > (24+collection-cutOff)*time.Hour || !l.DeliverBy.After(l.ShipBy) || l.Day < 0 {
				t.Fatalf("at %s: %+v", now, l)
			}
			if by := orderBy(l.ShipBy); !by.After(now) || !shipBy(fc, by.Add(-time.Nanosecond)).Equal(l.ShipBy) || !shipBy(fc, by).After(l.ShipBy) {
				t.Fatalf("at %s: who orders by %s is promised %s", now, by, l.ShipBy)
			}
			if date := dateAt(to, l.DeliverBy); date != begins(to, dayAt(to, l.DeliverBy)).Add(offset(to)).Format(time.DateOnly) || date == dateAt(to, l.DeliverBy.Add(time.Second)) {
				t.Fatalf("%s is on %s there", l.DeliverBy, date)
			}
			if next := l.DeliverBy.Add(time.Second); !begins(to, dayAt(to, next)).Equal(next) {
				t.Fatalf("%s is not the end of a day there", l.DeliverBy)
			}
		}
		near, far := rapid.Float64Range(0, 20000).Draw(t, "km"), rapid.Float64Range(0, 20000).Draw(t, "more km")
		near, far = min(near, far), max(near, far)
		for _, speed := range []Speed{Standard, Express} {
			if deliverBy(to, far, speed, standard.ShipBy).Before(deliverBy(to, near, speed, standard.ShipBy)) || cost(far, speed, 1).Minor < cost(near, speed, 1).Minor {
				t.Fatalf("%.0f km are nearer than %.0f km", far, near)
			}
		}
		later := now.Add(time.Duration(rapid.Int64Range(0, 3*86400).Draw(t, "later")) * time.Second)
		if shipBy(fc, later).Before(shipBy(fc, now)) {
			t.Fatal("an order that comes later leaves earlier")
		}
	})
}
