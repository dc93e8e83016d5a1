package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What is on the books and not on the shelf. The shipment's row says first what is missing, and becomes SHORT: nobody packs or
// cancels it meanwhile. Then the units leave the books of inventory, once by the short pick's id. Then the row is REQUESTED
// again, with what was found, or CANCELED when that is nothing; the news of it is in the same transaction. Whoever dies in
// between, the row is found again.

// shortReason stands in the ledger with what is written off.
const shortReason = "short pick"

func inProgress() error {
	return problem.New(problem.Unavailable, "SHORT_PICK_IN_PROGRESS", "units of the parcel are being taken off the books; ask again")
}

// Finds plays a picker: how many units of a line lie on the shelf for a shipment. It gives the same each time.
type Finds func(shipment string, l *orderv1.ParcelLine) int64

// Nothing is found of this many lines in a hundred.
func Nothing(percent int) Finds {
	if percent <= 0 {
		return nil
	}
	return func(shipment string, l *orderv1.ParcelLine) int64 {
		h := fnv.New32a()
		_, _ = fmt.Fprint(h, shipment, "/", l.GetLine()) // it cannot fail
		if int(h.Sum32()%100) < percent {
			return 0
		}
		return l.GetQuantity()
	}
}

// pickDue has a batch of shipments picked whose time has come, where a picker may find less than planned, and goes on with
// those of which somebody has.
func (s *Service) pickDue(ctx context.Context, now time.Time) error {
	if s.deps.Finds != nil {
		due, err := sqldb.Collect(ctx, s.deps.Regional, stmtListPicked, func(r sqldb.Row) (shipment, error) {
			sh := shipment{request: &orderv1.FulfillmentRequested{}}
			var lines []byte
			if err := r.Scan(&sh.fc, &sh.order, &sh.id, &lines); err != nil {
				return sh, err
			}
			return sh, proto.Unmarshal(lines, sh.request)
		}, string(s.deps.Region), now, shipBatch, openUntil(now))
		if err != nil {
			return err
		}
		for _, sh := range due {
			if err := s.pickAll(ctx, sh); err != nil {
				return err
			}
		}
	}
	return s.correctDue(ctx, now)
}

// pickAll lines of a shipment, and tell which are not there.
func (s *Service) pickAll(ctx context.Context, sh shipment) error {
	found := map[int32]int64{}
	for _, l := range sh.request.GetLines() {
		if n := s.deps.Finds(sh.id, l); n < l.GetQuantity() {
			found[l.GetLine()] = n
		}
	}
	if len(found) == 0 {
		return nil
	}
	_, err := s.reportShortPick(ctx, parcelKey{sh.fc, sh.order}, found)
	if problem.KindOf(err) == problem.Precondition || problem.KindOf(err) == problem.Unavailable {
		return nil // another cell has packed it, or was told the same
	}
	return err
}

// reportShortPick of a shipment that is being picked: what was found, by line.
func (s *Service) reportShortPick(ctx context.Context, key parcelKey, found map[int32]int64) (pick *orderv1.ShortPick, err error) {
	now, region := s.deps.Clock.Now(), string(s.deps.Region)
	err = s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		sh, err := lockPicked(ctx, tx, region, key)
		if err != nil {
			return err
		}
		pick = missed(sh, found)
		switch {
		case sh.id == "":
			return problem.New(problem.NotFound, reasonUnknownShipment, "there is no such shipment")
		case len(pick.GetLines()) == 0:
			return nil // all of it is there, or it was told before
		case sh.state == short:
			return inProgress()
		case sh.state != requested:
			return problem.New(problem.Precondition, "TOO_LATE_TO_PICK", "the parcel is packed or canceled")
		}
		pick.FcId, pick.FoundAt = key.fc, timestamppb.New(now)
		pick.ShortPickId = fmt.Sprintf("%s.%d", sh.id, len(sh.short.GetShortPicks())+1)
		sh.short.ShortPicks = append(sh.short.ShortPicks, pick)
		lines, err := proto.Marshal(sh.request)
		if err != nil {
			return err
		}
		picks, err := proto.Marshal(sh.short)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, stmtMissed, region, key.fc, key.order, lines, picks, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("report a short pick of %s/%s: %w", key.fc, key.order, err)
	}
	return pick, nil
}

// missed units of a shipment by what was found, which stays in it.
func missed(sh shipment, found map[int32]int64) *orderv1.ShortPick {
	pick := &orderv1.ShortPick{}
	var rest []*orderv1.ParcelLine
	for _, l := range sh.request.GetLines() {
		if n, told := found[l.GetLine()]; told && n < l.GetQuantity() {
			pick.Lines = append(pick.Lines, &orderv1.ParcelLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity() - n})
			l.Quantity = n
		}
		if l.GetQuantity() > 0 {
			rest = append(rest, l)
		}
	}
	sh.request.Lines = rest
	return pick
}

// lockPicked reads a shipment so that nobody packs or cancels it before the transaction ends. It has no id when there is none.
func lockPicked(ctx context.Context, tx sqldb.Tx, region string, key parcelKey) (shipment, error) {
	sh := shipment{fc: key.fc, order: key.order, request: &orderv1.FulfillmentRequested{}, short: &fulfillmentv1.ShortPicks{}}
	var lines, picks []byte
	err := tx.QueryRow(ctx, stmtLockPicked, region, key.fc, key.order).Scan(&sh.id, &sh.customer, &sh.state, &lines, &picks)
	if errors.Is(err, sqldb.ErrNoRows) {
		return sh, nil
	}
	return sh, errors.Join(err, proto.Unmarshal(lines, sh.request), proto.Unmarshal(picks, sh.short))
}

// takeShort gives a batch of shipments whose missing units are still on the books; nobody else takes them for shipRetry.
func (s *Service) takeShort(ctx context.Context, now time.Time) ([]shipment, error) {
	return sqldb.Collect(ctx, s.deps.Regional, stmtTakeShort, func(r sqldb.Row) (shipment, error) {
		sh := shipment{request: &orderv1.FulfillmentRequested{}, short: &fulfillmentv1.ShortPicks{}}
		var lines, picks []byte
		if err := r.Scan(&sh.fc, &sh.order, &sh.id, &sh.customer, &lines, &picks); err != nil {
			return sh, err
		}
		return sh, errors.Join(proto.Unmarshal(lines, sh.request), proto.Unmarshal(picks, sh.short))
	}, string(s.deps.Region), now, now.Add(shipRetry), shipBatch)
}

// correctDue takes a batch of what was missed off the books, and goes on with the rest of each shipment.
func (s *Service) correctDue(ctx context.Context, now time.Time) error {
	due, err := s.takeShort(ctx, now)
	if err != nil {
		return err
	}
	s.each(len(due), shippers, func(i int) {
		sh := due[i]
		if err := s.correct(ctx, sh); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "what was missed could not be taken off the books; it comes again", "shipment", sh.id, "fc", sh.fc, "error", err)
		}
	})
	return nil
}

// correct the books by the last short pick of a shipment, and tell the order.
func (s *Service) correct(ctx context.Context, sh shipment) error {
	picks := sh.short.GetShortPicks()
	pick := picks[len(picks)-1]
	req := &inventoryv1.WriteOffRequest{FcId: sh.fc, OrderId: sh.order, WriteOffId: "short/" + pick.GetShortPickId(), Reason: shortReason}
	for _, l := range pick.GetLines() {
		req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity()})
	}
	if _, err := s.deps.Corrector.WriteOff(ctx, req); err != nil {
		return err
	}
	state, now := requested, s.deps.Clock.Now()
	if len(sh.request.GetLines()) == 0 {
		state = canceled
	}
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		mine, err := sqldb.Collect(ctx, tx, stmtCorrected, func(r sqldb.Row) (fc string, err error) {
			err = r.Scan(&fc)
			return fc, err
		}, string(s.deps.Region), sh.fc, sh.order, state, now)
		if err != nil || len(mine) == 0 {
			return err // or another cell was first
		}
		var b sqldb.Batch
		if err := outbox.Queue(&b, s.deps.Region, now, shortEvent(sh)); err != nil {
			return err
		}
		return tx.SendLast(ctx, &b)
	})
	if err == nil {
		s.deps.Committed()
	}
	return err
}
