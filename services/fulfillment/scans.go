package fulfillment

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/carrier"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// maxScans of a parcel that are taken at once: around the world a parcel has some thirty.
	maxScans = 100
	// maxScanText in bytes of a place and of a note.
	maxScanText = 200
	// gapPatience is how long a scan that others have overtaken is waited for before the carrier is asked for it.
	gapPatience = 5 * time.Second
)

// unbroken is the part of a shipment's scans, ordered by their numbers, that can be relied on: from the first on, before any that
// is missing, up to the end of the way. Whatever order scans come in, however often, and by whatever means, once all are
// there this is the same.
func unbroken(scans []*orderv1.Scan) []*orderv1.Scan {
	for i, scan := range scans {
		if int(scan.GetSeq()) != i+1 {
			return scans[:i]
		}
		if wayEnded(scan.GetState()) {
			return scans[:i+1]
		}
	}
	return scans
}

// wayEnded tells whether a parcel is scanned no more.
func wayEnded(w orderv1.WayState) bool {
	return w == orderv1.WayState_WAY_STATE_DELIVERED || w == orderv1.WayState_WAY_STATE_SENT_BACK
}

const wayPrefix = "WAY_STATE_"

func wayName(w orderv1.WayState) string { return strings.TrimPrefix(w.String(), wayPrefix) }

func wayState(name string) orderv1.WayState {
	return orderv1.WayState(orderv1.WayState_value[wayPrefix+name])
}

// ways of a carrier's parcels, in our words.
var ways = map[carrier.Status]orderv1.WayState{
	carrier.PickedUp: orderv1.WayState_WAY_STATE_PICKED_UP, carrier.InTransit: orderv1.WayState_WAY_STATE_IN_TRANSIT,
	carrier.OutForDelivery: orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY, carrier.Delivered: orderv1.WayState_WAY_STATE_DELIVERED,
	carrier.Exception: orderv1.WayState_WAY_STATE_EXCEPTION, carrier.Returned: orderv1.WayState_WAY_STATE_SENT_BACK,
}

// scansOf a carrier, in our words.
func scansOf(all ...carrier.Scan) ([]*orderv1.Scan, error) {
	var scans []*orderv1.Scan
	for _, c := range all {
		way, ok := ways[c.Status]
		if !ok || c.Seq < 1 || c.Seq > maxScans {
			return nil, fmt.Errorf("scan %d says %q", c.Seq, c.Status)
		}
		scans = append(scans, &orderv1.Scan{
			Seq: int32(c.Seq), State: way, At: timestamppb.New(c.At), Place: clip(c.Place.Name, maxScanText), Note: clip(c.Note, maxScanText),
		})
	}
	return scans, nil
}

// clip a text of somebody else's to at most n bytes of whole characters.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// recordScans of a shipment, whether a webhook tells of them or the carrier was asked, and tell the order what is new of what
// is known: one transaction.
func (s *Service) recordScans(ctx context.Context, key parcelKey, id string, scans []*orderv1.Scan) error {
	now, told := s.deps.Clock.Now(), false
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		told = false
		sh, all, err := lockScanned(ctx, tx, s.deps.Region, key, scans)
		if err != nil {
			return err
		}
		if sh.id == "" || sh.id != id || sh.state == canceled {
			return problem.New(problem.NotFound, reasonUnknownShipment, "there is no such shipment")
		}
		if sh.shippedAt == nil { // its cell has handed it over, and has not come to write so
			return problem.New(problem.Unavailable, "NOT_HANDED_OVER", "the shipment is not known to have left; tell again")
		}
		so := unbroken(all)
		var b sqldb.Batch
		var changed bool
		if changed, told = s.advance(&sh, so, len(so) < len(all), now); changed {
			queueAdvance(&b, s.deps.Region, sh)
		}
		if told {
			if err := outbox.Queue(&b, s.deps.Region, now, scannedEvent(sh, so)); err != nil {
				return err
			}
		}
		return tx.SendLast(ctx, &b)
	})
	if err != nil {
		return fmt.Errorf("record scans of %s/%s: %w", key.fc, key.order, err)
	}
	if told {
		s.deps.Committed()
	}
	return nil
}

const reasonUnknownShipment = "UNKNOWN_SHIPMENT"

// advance a shipment to what is known of its way, and tell whether that changes its row, and is news. With a gap the
// carrier is asked soon.
func (s *Service) advance(sh *shipment, so []*orderv1.Scan, gap bool, now time.Time) (changed, news bool) {
	if news = int64(len(so)) > sh.scanned; news {
		last := so[len(so)-1].GetState()
		sh.scanned, sh.way, sh.trackAt = int64(len(so)), wayName(last), s.trackAt(now)
		if wayEnded(last) {
			sh.trackAt = nil
			return true, true
		}
	}
	if soon := now.Add(gapPatience); gap && sh.trackAt != nil && soon.Before(*sh.trackAt) {
		sh.trackAt, changed = &soon, true
	}
	return changed || news, news
}

const (
	// trackBatch is asked after at once; trackers ask the carrier at once.
	trackBatch = 100
	trackers   = 8
)

// TrackDue asks the carrier after shipments of which it has told nothing for a while, and tells how many it has asked after: a
// webhook may be lost, a poll is not.
func (s *Service) TrackDue(ctx context.Context) (int, error) {
	if s.deps.Carrier == nil {
		return 0, nil
	}
	now := s.deps.Clock.Now()
	due, err := s.takeTracked(ctx, now, now.Add(s.deps.TrackEvery), trackBatch)
	if err != nil {
		return 0, fmt.Errorf("take shipments to ask after: %w", err)
	}
	s.each(len(due), trackers, func(i int) {
		sh := due[i]
		if err := s.track(ctx, sh); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "a shipment could not be asked after; it comes again", "shipment", sh.id, "fc", sh.fc, "error", err)
		}
	})
	return len(due), nil
}

func (s *Service) track(ctx context.Context, sh shipment) error {
	parcel, err := s.deps.Carrier.Find(ctx, sh.tracking)
	if err != nil {
		return err
	}
	scans, err := scansOf(parcel.Scans...)
	if err != nil || len(scans) == 0 {
		return err
	}
	return s.recordScans(ctx, parcelKey{sh.fc, sh.order}, sh.id, scans)
}

// reference of a shipment at its carrier: scans come back with it.
func reference(sh *shipment) string { return sh.fc + "/" + sh.order + "/" + sh.id }

// parseReference is the inverse of reference; false for one that is none of ours.
func parseReference(text string) (fc string, order ident.OrderID, id string, ok bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
		return "", "", "", false
	}
	order, err := ident.ParseOrder(parts[1])
	return parts[0], order, parts[2], err == nil && string(order) == parts[1]
}
