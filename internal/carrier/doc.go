// Package carrier is the client of a parcel carrier over HTTP/JSON, and the reader of what the carrier tells by itself.
//
// A parcel is booked, which gives it a tracking number and a label; handed over, from when it moves; and scanned on its
// way. Scans of a parcel are numbered from 1 without gaps, so whoever has some of them knows which are missing. They come
// by webhook, late, twice, out of order or never; polling with [Client.Find] is what can be relied on.
//
// Everything may be asked again: a booking by its key, a handover and a cancellation by the parcel's number. The client
// neither retries nor breaks circuits: that is the caller's policy.
package carrier
