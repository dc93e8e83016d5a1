package carrier

import "time"

// Status of a parcel.
type Status string

// The states of a parcel. Returned and Delivered are ends, and Canceled.
const (
	Booked         Status = "booked"
	Canceled       Status = "canceled"
	PickedUp       Status = "picked_up"
	InTransit      Status = "in_transit"
	OutForDelivery Status = "out_for_delivery"
	Delivered      Status = "delivered"
	Exception      Status = "exception"
	Returned       Status = "returned"
)

// Ended tells whether a parcel moves no more.
func (s Status) Ended() bool { return s == Delivered || s == Returned || s == Canceled }

func (s Status) known() bool {
	switch s {
	case Booked, Canceled, PickedUp, InTransit, OutForDelivery, Delivered, Exception, Returned:
		return true
	}
	return false
}

// Service is how fast a parcel goes.
type Service string

// The services.
const (
	Standard Service = "standard"
	Express  Service = "express"
)

// Place by its name, in degrees north and east.
type Place struct {
	Name string  `json:"name"`
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
}

// Booking of a parcel. What the carrier needs of an address goes with the label on paper; it is not sent here.
type Booking struct {
	// Key makes a booking one, however often it is sent: 1 to 255 visible ASCII characters.
	Key string `json:"-"`
	// Reference of ours, 1 to 255 bytes.
	Reference  string    `json:"reference"`
	Service    Service   `json:"service"`
	From       Place     `json:"from"`
	To         Place     `json:"to"`
	PromisedBy time.Time `json:"promised_by"`
}

// Parcel as the carrier knows it.
type Parcel struct {
	TrackingNumber string     `json:"tracking_number"`
	Reference      string     `json:"reference"`
	Status         Status     `json:"status"`
	BookedAt       time.Time  `json:"booked_at"`
	HandedOverAt   *time.Time `json:"handed_over_at"`
	// Scans so far, by Seq.
	Scans []Scan `json:"scans"`
}

// Scan of a parcel on its way. Seq counts from 1.
type Scan struct {
	Seq    int       `json:"seq"`
	Status Status    `json:"status"`
	At     time.Time `json:"at"`
	Place  Place     `json:"place"`
	// Note says what an exception is about; for people.
	Note string `json:"note"`
}
