package ident

// Slots is the number of slots of a ring. It never changes: the slot is part of what an id means.
const Slots = 4096

// RingCode is the short name of a ring inside identifiers, for example "use1".
type RingCode string

// Region is a cloud region, and the name of the ring homed there, for example "us-east-1".
type Region string

// ringByCode holds every ring that exists. An id of a ring that is not here is malformed: a new region
// ships with a release, before the map names it.
var ringByCode = map[RingCode]Region{
	"use1": "us-east-1",
	"usw2": "us-west-2",
	"euc1": "eu-central-1",
}

// rings is ringByCode as a list: for so few, looking at each is faster, and every request looks.
var rings = func() (all []ring) {
	for code, region := range ringByCode {
		all = append(all, ring{code, region})
	}
	return all
}()

type ring struct {
	code   RingCode
	region Region
}

// regionOf a ring's code; empty for a code that names none.
func regionOf(code string) Region {
	for i := range rings {
		if string(rings[i].code) == code {
			return rings[i].region
		}
	}
	return ""
}

var codeByRing = func() map[Region]RingCode {
	m := make(map[Region]RingCode, len(ringByCode))
	for code, region := range ringByCode {
		m[region] = code
	}
	return m
}()

// Regions lists the regions that have a ring, in the order in which they were opened.
func Regions() []Region { return []Region{"us-east-1", "us-west-2", "eu-central-1"} }

// Code of a region's ring; false for a region without one.
func (r Region) Code() (RingCode, bool) {
	code, ok := codeByRing[r]
	return code, ok
}

// Region of a ring; false for a code that names none.
func (c RingCode) Region() (Region, bool) {
	region := regionOf(string(c))
	return region, region != ""
}
