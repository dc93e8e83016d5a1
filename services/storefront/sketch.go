package storefront

import (
	"context"
	"fmt"
	"math"
	"strings"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
)

const (
	// sketchWidth and sketchHeight in units of the drawing, which are pixels on the narrowest screens.
	sketchWidth, sketchHeight = 260, 130
	// sketchMargin around the way: the names at its ends stand there.
	sketchMargin = 30
	// sketchSteps of straight line, of which the curve is made.
	sketchSteps = 24
	// sketchLeast is the shortest way that is drawn, in km: a postal code tells no more (internal/geo).
	sketchLeast = 20
	// maxSpotName in characters: what fits beside a spot.
	maxSpotName = 22
	milesInKM   = 1.609344
)

// sketch of a parcel's way from its FC to the door: a great circle, north up, and nothing else of the earth. Both ends are known by
// their cities or postal codes; between them the parcel is where its carrier's last word says, by our guess of what the word means.
type sketch struct {
	Width, Height int
	// Gone and Ahead are the two parts of the way, as SVG paths.
	Gone, Ahead      string
	From, To, Parcel spot
	// Text says the same in words; Distance is that of the ends.
	Text, Distance string
}

// spot on a sketch, with where its name stands.
type spot struct {
	Name        string
	X, Y, NameY float64
	Anchor      string
}

// sketchOf a parcel's way; nil where there is none to draw: it does not go, or nobody knows where from or where to.
func sketchOf(x *orderv1.Parcel, from *fulfillmentv1.Center, door geo.Point, doorName, state string) *sketch {
	if from == nil || x.GetState() == orderv1.ParcelState_PARCEL_STATE_CANCELED {
		return nil
	}
	fc, fcName := geo.Point{Lat: from.GetPlace().GetLatitude(), Lon: from.GetPlace().GetLongitude()}, from.GetPlace().GetName()
	km := geo.DistanceKM(fc, door)
	if km < sketchLeast {
		return nil
	}
	way, share := flatten(fc, door), shareGone(x)
	s := &sketch{Width: sketchWidth, Height: sketchHeight, Distance: distance(km), Gone: way.path(0, share), Ahead: way.path(share, 1)}
	s.From, s.To, s.Parcel = way.spot(0, 1, fcName), way.spot(1, 0, doorName), way.spot(share, share, "")
	s.Text = fmt.Sprintf("From %s to %s, %s. %s", fcName, doorName, s.Distance, state)
	if scans := x.GetScans(); len(scans) > 0 && scans[len(scans)-1].GetPlace() != "" {
		s.Text += ", " + scans[len(scans)-1].GetPlace()
	}
	s.Text += "."
	return s
}

// distance in kilometres and in miles, for people.
func distance(km float64) string {
	return grouped(int64(math.Round(km))) + " km (" + grouped(int64(math.Round(km/milesInKM))) + " miles)"
}

// shareGone of a parcel's way, 0 to 1. Scans have no coordinates here: each place between halves what is left of the middle, and the
// town of the door is nearly there. What could not be delivered is where it was.
func shareGone(x *orderv1.Parcel) float64 {
	const pickedUp, nearly, outForDelivery = 0.06, 0.85, 0.93
	share, between := 0.0, 0.0
	for _, scan := range x.GetScans() {
		switch scan.GetState() {
		case orderv1.WayState_WAY_STATE_PICKED_UP:
			share = pickedUp
		case orderv1.WayState_WAY_STATE_IN_TRANSIT:
			between++
			share = math.Min(between/(between+1), nearly)
		case orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY:
			share = outForDelivery
		case orderv1.WayState_WAY_STATE_DELIVERED:
			share = 1
		case orderv1.WayState_WAY_STATE_SENT_BACK:
			share = 0
		case orderv1.WayState_WAY_STATE_UNSPECIFIED, orderv1.WayState_WAY_STATE_EXCEPTION: // it is where it was
		}
	}
	return share
}

// flat is a great circle on a sketch.
type flat struct {
	from, to, middle geo.Point
	// narrow is how much shorter a degree of longitude is than one of latitude; scale is the units of one of latitude.
	narrow, scale float64
	// left and top are where the middle lies on the drawing.
	left, top float64
}

// flatten the way between two points: a degree of longitude is as long everywhere as it is half-way, which is right for a sketch.
func flatten(from, to geo.Point) flat {
	const nearPoles, point = 0.2, 1e-6 // beyond 78 degrees everything would be one line
	half := geo.Between(from, to, 0.5)
	f := flat{from: from, to: to, middle: half, narrow: math.Max(math.Cos(half.Lat*math.Pi/180), nearPoles), scale: 1}
	minX, maxX, minY, maxY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i := range sketchSteps + 1 {
		x, y := f.at(float64(i) / sketchSteps)
		minX, maxX, minY, maxY = math.Min(minX, x), math.Max(maxX, x), math.Min(minY, y), math.Max(maxY, y)
	}
	f.scale = math.Min((sketchWidth-2*sketchMargin)/math.Max(maxX-minX, point), (sketchHeight-2*sketchMargin)/math.Max(maxY-minY, point))
	f.left, f.top = sketchWidth/2-f.scale*(minX+maxX)/2, sketchHeight/2-f.scale*(minY+maxY)/2
	return f
}

// at a share of the way, in units of the drawing.
func (f flat) at(share float64) (x, y float64) {
	p := geo.Between(f.from, f.to, share)
	east := math.Mod(p.Lon-f.middle.Lon+540, 360) - 180 // across the date line too
	return f.left + east*f.narrow*f.scale, f.top + (f.middle.Lat-p.Lat)*f.scale
}

// path of a part of the way.
func (f flat) path(begin, end float64) string {
	var b strings.Builder
	for i := range sketchSteps + 1 {
		x, y := f.at(begin + (end-begin)*float64(i)/sketchSteps)
		fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(i, 1)], x, y)
	}
	return b.String()
}

// spot at a share of the way. Its name stands on the side that the other end is not on, and within the drawing.
func (f flat) spot(share, other float64, name string) spot {
	const above, below = -12, 22
	s := spot{Name: clipped(name, maxSpotName), Anchor: "middle"}
	s.X, s.Y = f.at(share)
	_, otherY := f.at(other)
	if s.NameY = s.Y + below; s.Y < otherY || (s.Y == otherY && share < other) {
		s.NameY = s.Y + above
	}
	switch {
	case s.X < sketchWidth/3:
		s.Anchor = "start"
	case s.X > sketchWidth*2/3:
		s.Anchor = "end"
	}
	return s
}

// clipped to so many characters.
func clipped(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// sketchWays of the parcels that a page shows, for who knows where the order goes. Without the centres the page has none.
func (s *Service) sketchWays(ctx context.Context, p *orderPage) {
	to := p.Order.GetShipTo()
	door, known := geo.Locate(to.GetRegionCode(), to.GetPostalCode())
	if !known || to.GetPostalCode() == "" || len(p.Parcels) == 0 {
		return
	}
	req := &fulfillmentv1.ListCentersRequest{}
	for _, x := range p.Parcels {
		req.FcIds = append(req.FcIds, x.Parcel.GetFcId())
	}
	ctx, cancel := context.WithTimeout(ctx, arrivalFor)
	defer cancel()
	resp, err := s.deps.Centers.ListCenters(ctx, req)
	if err != nil {
		s.deps.Log.WarnContext(ctx, "the way of parcels is not drawn", "error", err)
		return
	}
	centers := map[string]*fulfillmentv1.Center{}
	for _, c := range resp.GetCenters() {
		centers[c.GetFcId()] = c
	}
	for i := range p.Parcels {
		x := &p.Parcels[i]
		x.Sketch = sketchOf(x.Parcel, centers[x.Parcel.GetFcId()], door, to.GetLocality(), x.State)
	}
}
