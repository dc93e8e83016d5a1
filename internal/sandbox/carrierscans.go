package sandbox

import (
	"container/heap"
	"context"
	"fmt"
	"time"
)

// carrierSignatureHeader of a scan that is told; as that of the card network.
const carrierSignatureHeader = "Carrier-Signature"

// scanEvent is told to the webhook when a parcel was scanned.
type scanEvent struct {
	// ID is the same in each copy of a scan.
	ID             string `json:"id"`
	TrackingNumber string `json:"tracking_number"`
	Reference      string `json:"reference"`
	Scan           Scan   `json:"scan"`
}

// dueScan of a parcel, to be told at a time.
type dueScan struct {
	at     time.Time
	number string
	seq    int
}

// scanQueue by time. Its methods are for container/heap.
type scanQueue []dueScan

func (q scanQueue) Len() int           { return len(q) }
func (q scanQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q scanQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *scanQueue) Push(x any) {
	if d, ok := x.(dueScan); ok {
		*q = append(*q, d)
	}
}

// Pop implements heap.Interface.
func (q *scanQueue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	*q = (*q)[:last]
	return d
}

func (q *scanQueue) add(d dueScan) { heap.Push(q, d) }

// maxNap between two looks at the queue: a clock that a test moves is seen at the next wake-up anyway.
const maxNap = time.Hour

// announceScans tells of each scan when it is made, until the carrier drains.
func (c *Carrier) announceScans() {
	for c.draining.Err() == nil {
		now := c.clock.Now()
		events, next := c.takeDue(now)
		for _, e := range events {
			c.announce(e)
		}
		nap := maxNap
		if !next.IsZero() {
			nap = min(nap, next.Sub(now))
		}
		c.nap(nap)
	}
}

// nap until a time has passed, something new may be due, or the carrier drains.
func (c *Carrier) nap(d time.Duration) {
	ctx, cancel := context.WithCancel(c.draining)
	defer cancel()
	go func() {
		select {
		case <-c.wake:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = c.clock.Sleep(ctx, d) // what follows is the same
}

// takeDue scans from the queue, and tells when the next is.
func (c *Carrier) takeDue(now time.Time) (events []scanEvent, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.due.Len() > 0 {
		if c.due[0].at.After(now) {
			return events, c.due[0].at
		}
		d, ok := heap.Pop(&c.due).(dueScan)
		p := c.parcels[d.number]
		if !ok || p == nil || d.seq > len(p.way) {
			continue
		}
		events = append(events, scanEvent{ID: fmt.Sprintf("%s/%d", d.number, d.seq), TrackingNumber: d.number, Reference: p.Reference, Scan: p.way[d.seq-1]})
	}
	return events, time.Time{}
}

// announce a scan in the background, as often and as late as the faults say.
func (c *Carrier) announce(e scanEvent) {
	target := c.events.url.Load()
	if target == nil {
		return
	}
	for _, delay := range c.faults.Load().delays(e.ID) {
		select {
		case c.events.slots <- struct{}{}:
		default:
			c.log.Warn("a scan is not told: too many are on their way", "parcel", e.TrackingNumber)
			return
		}
		c.events.busy.Go(func() {
			defer func() { <-c.events.slots }()
			if delay > 0 && c.clock.Sleep(c.draining, delay) != nil {
				return
			}
			if status := c.events.deliver(c.draining, c.clock, *target, carrierSignatureHeader, e); status != 0 {
				c.log.Warn("a scan was never taken", "scan", e.ID, "status", status)
			}
		})
	}
}
