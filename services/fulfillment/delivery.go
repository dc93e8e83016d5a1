package fulfillment

import (
	"math"
	"time"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/money"
)

// This file is Cellar's model of parcel carriers. It has the shape of their tariffs (zones by distance; a time and a price
// for each zone and speed); its numbers are our own, not any carrier's, and nobody is billed by them.

// Speed of delivery.
type Speed int

// The speeds.
const (
	Standard Speed = iota
	Express
)

func speedOf(s fulfillmentv1.Speed) Speed {
	if s == fulfillmentv1.Speed_SPEED_EXPRESS {
		return Express
	}
	return Standard
}

// zone of the tariff, by distance.
type zone struct {
	upTo float64 // km, inclusive
	// days in transit and price of a parcel in US cents, by speed.
	days  [2]int
	cents [2]int64
}

// zones by distance. From the seventh on a parcel flies; the last is another continent.
var zones = [...]zone{
	{upTo: 100, days: [2]int{1, 1}, cents: [2]int64{420, 790}},
	{upTo: 250, days: [2]int{1, 1}, cents: [2]int64{460, 890}},
	{upTo: 500, days: [2]int{2, 1}, cents: [2]int64{520, 1090}},
	{upTo: 1000, days: [2]int{3, 1}, cents: [2]int64{600, 1390}},
	{upTo: 1600, days: [2]int{4, 2}, cents: [2]int64{690, 1690}},
	{upTo: 2400, days: [2]int{5, 2}, cents: [2]int64{790, 1990}},
	{upTo: 3200, days: [2]int{5, 2}, cents: [2]int64{890, 2290}},
	{upTo: 6000, days: [2]int{7, 3}, cents: [2]int64{1290, 3190}},
	{upTo: math.Inf(1), days: [2]int{9, 4}, cents: [2]int64{2490, 4990}},
}

// unitCents is what each unit adds to a parcel, by speed, in every zone: the catalogue knows no weights.
var unitCents = [2]int64{40, 70}

// zoneOf a distance in km.
func zoneOf(km float64) *zone {
	for i := range zones {
		if km <= zones[i].upTo {
			return &zones[i]
		}
	}
	return &zones[len(zones)-1] // not a number
}

const (
	// cutOff is the hour by an FC's clock until which an order leaves on the same day.
	cutOff = 14
	// collection is the hour by an FC's clock at which the carrier takes the day's parcels, every day of the week.
	collection = 20
)

// offset of a place's clock from UTC, by its longitude: an hour for 15 degrees. Borders and summer time move real clocks
// by an hour or two from it, which matters to orders near the cut-off, and to nothing else.
func offset(at geo.Point) time.Duration {
	return time.Duration(math.Round(at.Lon/15)) * time.Hour
}

const day = 24 * time.Hour

// dayAt counts days by the clock of a place.
func dayAt(place geo.Point, at time.Time) int {
	return int(math.Floor(float64(at.Unix()+int64(offset(place)/time.Second)) / day.Seconds()))
}

// begins a day, as dayAt counts them.
func begins(place geo.Point, n int) time.Time {
	return time.Unix(int64(n)*int64(day/time.Second), 0).UTC().Add(-offset(place))
}

// shipBy is when an order that comes now is handed to the carrier at the latest.
func shipBy(fc geo.Point, now time.Time) time.Time {
	today := begins(fc, dayAt(fc, now))
	if now.Before(today.Add(cutOff * time.Hour)) {
		return today.Add(collection * time.Hour)
	}
	return today.Add(day + collection*time.Hour)
}

// orderBy is until when an order leaves with the parcels of a collection.
func orderBy(collected time.Time) time.Time { return collected.Add(-pickingTime) }

// deliverBy is the end of the day, by the clock at the door, on which a parcel arrives at the latest.
func deliverBy(to geo.Point, km float64, speed Speed, shipped time.Time) time.Time {
	arrives := shipped.Add(time.Duration(zoneOf(km).days[speed]) * day)
	return begins(to, dayAt(to, arrives)+1).Add(-time.Second)
}

// dateAt the clock of a place, as ISO 8601 has it.
func dateAt(place geo.Point, at time.Time) string {
	return at.UTC().Add(offset(place)).Format(time.DateOnly)
}

// cost of a parcel to us.
func cost(km float64, speed Speed, units int64) money.Amount {
	return money.USD(zoneOf(km).cents[speed] + units*unitCents[speed])
}

// Leg is the way from an FC to the door.
type Leg struct {
	KM        float64
	ShipBy    time.Time
	DeliverBy time.Time
	// Day of DeliverBy at the door; today is 0.
	Day int
	// Cents that a parcel costs before its units.
	Cents int64
}

// LegOf an order that comes now.
func LegOf(fc, to geo.Point, speed Speed, now time.Time) Leg {
	l := Leg{KM: geo.DistanceKM(fc, to), ShipBy: shipBy(fc, now)}
	l.DeliverBy = deliverBy(to, l.KM, speed, l.ShipBy)
	l.Day = dayAt(to, l.DeliverBy) - dayAt(to, now)
	l.Cents = zoneOf(l.KM).cents[speed]
	return l
}
