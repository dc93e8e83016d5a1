package ident

// Slots is the number of slots of a ring. It never changes: the slot is part of what an id means.
const Slots = 4096

// RingCode is the short name of a ring inside identifiers, for example "use1".
type RingCode string

// Region is a cloud region, and the name of the ring homed there, for example "us-east-1".
type Region string

// regionOf a ring's code; empty for a code that names none. An id of a ring that is not here is malformed: a new region ships
// with a release, before the map names it. It is a switch since every request asks, and that is compared as one number.
func regionOf(code string) Region {
	switch code {
	case "use1":
		return "us-east-1"
	case "usw2":
		return "us-west-2"
	case "euc1":
		return "eu-central-1"
	default:
		return ""
	}
}

// Regions lists the regions that have a ring, in the order in which they were opened.
func Regions() []Region { return []Region{"us-east-1", "us-west-2", "eu-central-1"} }

// Code of a region's ring; false for a region without one.
func (r Region) Code() (RingCode, bool) {
	switch r {
	case "us-east-1":
		return "use1", true
	case "us-west-2":
		return "usw2", true
	case "eu-central-1":
		return "euc1", true
	default:
		return "", false
	}
}

// Region of a ring; false for a code that names none.
func (c RingCode) Region() (Region, bool) {
	region := regionOf(string(c))
	return region, region != ""
}
