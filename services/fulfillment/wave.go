package fulfillment

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// FCs pick in waves: what leaves with one collection of the carrier is picked together, from the cut-off on, when all of it is
// known. Which collection that is was promised (delivery.go), and what is asked for later than its wave was begun joins it.

// pickingTime of a wave: from the cut-off to the collection.
const pickingTime = (collection - cutOff) * time.Hour

// promisedAt is when it was said when a parcel comes: the promise is kept, whenever it was paid.
func promisedAt(req *orderv1.FulfillmentRequested) time.Time {
	if at := req.GetPromisedAt(); at != nil {
		return at.AsTime()
	}
	return req.GetPaidAt().AsTime()
}

// waveOf a parcel that an FC is asked for now: the collection it leaves with, and when it is picked.
func (s *Service) waveOf(fc Center, req *orderv1.FulfillmentRequested, now time.Time) (leaves, picked time.Time) {
	ready := now.Add(s.deps.HandlingTime)
	if every := s.deps.CollectEvery; every > 0 {
		leaves = ready.Truncate(every)
		if leaves.Before(ready) {
			leaves = leaves.Add(every)
		}
		return leaves, leaves
	}
	leaves = shipBy(fc.At, promisedAt(req))
	if picked = orderBy(leaves); picked.Before(ready) {
		picked = ready
	}
	return leaves, picked
}

// openUntil is the last collection whose parcels may be picked now.
func openUntil(now time.Time) time.Time { return now.Add(pickingTime) }

const (
	// defaultWaves and maxWaves of one answer: an FC has two open at a time, and a region some dozens of FCs.
	defaultWaves = 100
	maxWaves     = 1000
)

// ListWaves implements FulfillmentService.
func (s *Service) ListWaves(ctx context.Context, req *fulfillmentv1.ListWavesRequest) (*fulfillmentv1.ListWavesResponse, error) {
	var v problem.Violations
	v.Check(req.GetLimit() >= 0 && req.GetLimit() <= maxWaves, "limit", "must be 0 to 1,000")
	if err := v.Err(); err != nil {
		return nil, err
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultWaves
	}
	all, err := sqldb.Collect(ctx, s.deps.Regional, stmtListWaves, func(r sqldb.Row) (*fulfillmentv1.Wave, error) {
		var w fulfillmentv1.Wave
		var leaves, picked time.Time
		err := r.Scan(&w.FcId, &leaves, &picked, &w.Requested, &w.Short, &w.Packed)
		w.ShipBy, w.PickedFrom = timestamppb.New(leaves), timestamppb.New(picked)
		return &w, err
	}, string(s.deps.Region), req.GetFcId(), limit)
	return &fulfillmentv1.ListWavesResponse{Waves: all}, err
}
