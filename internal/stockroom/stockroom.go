package stockroom

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
)

// Room is the stock of all regions.
type Room struct {
	global, regional *sqldb.DB
	centers          *fulfillment.Service
	stock            map[ident.Region]*inventory.Service
}

// Open the databases of a platform. Close it.
func Open(ctx context.Context, databaseURL string) (*Room, error) {
	global, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Global, MaxConns: 2, ApplicationName: "cellctl stock"})
	if err != nil {
		return nil, err
	}
	regional, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Regional, MaxConns: 4, ApplicationName: "cellctl stock"})
	if err != nil {
		global.Close()
		return nil, err
	}
	return assemble(global, regional, clock.System{}), nil
}

func assemble(global, regional *sqldb.DB, now clock.Clock) *Room {
	log := slog.New(slog.DiscardHandler)
	r := &Room{global: global, regional: regional, stock: map[ident.Region]*inventory.Service{}}
	r.centers = fulfillment.New(fulfillment.Deps{Global: global, Regional: regional, Clock: now, Log: log})
	for _, region := range ident.Regions() {
		r.stock[region] = inventory.New(inventory.Deps{
			DB: regional, Region: region, Regions: ident.Regions(), FC: r.centers.FC, Ordinal: r.centers.Ordinal, Clock: now, Log: log,
		})
	}
	return r
}

// Close the connections.
func (r *Room) Close() {
	r.global.Close()
	r.regional.Close()
}

// maxListed inconsistencies of one region.
const maxListed = 10_000

// Finding is an inconsistency, and what became of it.
type Finding struct {
	Region ident.Region `json:"region"`
	inventory.Inconsistency
	// Verdict: "drifted", "oversold", or "corrected".
	Verdict string `json:"verdict"`
}

// Inconsistencies of all regions, at most 10,000 of each.
func (r *Room) Inconsistencies(ctx context.Context) ([]Finding, error) {
	all := []Finding{}
	for _, region := range ident.Regions() {
		found, err := r.stock[region].Inconsistencies(ctx, maxListed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", region, err)
		}
		for _, i := range found {
			all = append(all, finding(region, i, "drifted"))
		}
	}
	return all, nil
}

func finding(region ident.Region, i inventory.Inconsistency, verdict string) Finding {
	if i.Oversold() {
		verdict = "oversold"
	}
	return Finding{Region: region, Inconsistency: i, Verdict: verdict}
}

// Compensate all inconsistencies: each is looked at once more under its lock. What is oversold stays: no count can be right.
func (r *Room) Compensate(ctx context.Context) ([]Finding, error) {
	found, err := r.Inconsistencies(ctx)
	if err != nil {
		return nil, err
	}
	all := []Finding{}
	for _, f := range found {
		was, corrected, err := r.stock[f.Region].Compensate(ctx, f.FC, f.SKU)
		if err != nil {
			return all, err
		}
		if corrected || was.Oversold() { // else it was work under way
			all = append(all, finding(f.Region, was, "corrected"))
		}
	}
	return all, nil
}

// Summary is how one region's summaries of another's stock compare with it.
type Summary struct {
	Reader ident.Region `json:"reader"`
	inventory.SummaryCheck
	ErrorRate float64 `json:"error_rate"`
}

// Summaries of every region as every region has them.
func (r *Room) Summaries(ctx context.Context) ([]Summary, error) {
	var all []Summary
	for _, reader := range ident.Regions() {
		for _, source := range ident.Regions() {
			check, err := r.stock[reader].CheckSummaries(ctx, source)
			if err != nil {
				return nil, err
			}
			all = append(all, Summary{Reader: reader, SummaryCheck: check, ErrorRate: check.ErrorRate()})
		}
	}
	return all, nil
}

// Received tells what became of a file of deliveries.
type Received struct {
	Lines int   `json:"lines"`
	Units int64 `json:"units"`
	// Batches that were counted now, and those that had been before.
	Counted int `json:"batches_counted"`
	Already int `json:"batches_already_counted"`
}

// maxLines of one call.
const maxLines = 1000

// Receive deliveries. They are checked before the first is counted; when it fails half way it can simply be done again.
func (r *Room) Receive(ctx context.Context, all []Delivery) (out Received, err error) {
	for _, d := range all {
		if _, ok := r.centers.FC(ctx, d.FC); !ok {
			return out, fmt.Errorf("delivery %s: there is no fulfilment centre %q", d.ID, d.FC)
		}
	}
	for _, d := range all {
		region, _ := r.centers.FC(ctx, d.FC)
		for _, lines := range d.batches() {
			resp, err := r.stock[region].Restock(ctx, &inventoryv1.RestockRequest{FcId: d.FC, DeliveryId: d.ID, Lines: lines})
			if err != nil {
				return out, fmt.Errorf("delivery %s at %s: %w", d.ID, d.FC, err)
			}
			out.Lines += len(lines)
			if resp.GetAlreadyCounted() {
				out.Already++
				continue
			}
			out.Counted++
			for _, l := range lines {
				out.Units += l.GetQuantity()
			}
		}
	}
	return out, nil
}
