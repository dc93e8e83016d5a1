package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// aloneFor is how long shoppers go on without a control plane.
	aloneFor = 5 * time.Second
	// backLimit bounds its return.
	backLimit = 30 * time.Second
)

// What the control plane keeps, for nobody to read or write until the transaction ends. CockroachDB has no such lock.
var stmtHoldMaps = sqldb.Define(sqldb.Global, "bench.hold_maps", `
LOCK TABLE maps, cells, overrides, automation, evacuations, topology_changes IN ACCESS EXCLUSIVE MODE`)

// alone: every control plane is dead, and what it keeps of the map cannot be read. Shoppers must not notice, whether they are
// known or come for the first time.
func (b *evacuateBench) alone(ctx context.Context) (err error) {
	planes, err := b.controlPlanes(ctx)
	if err != nil {
		return err
	}
	b.say("without control plane and store of maps for %s", aloneFor)
	for _, name := range planes {
		if err := b.remote.Kill(ctx, name); err != nil {
			return err
		}
	}
	defer func() {
		returning, cancel := context.WithTimeout(context.WithoutCancel(ctx), backLimit)
		defer cancel()
		for _, name := range planes {
			err = errors.Join(err, b.remote.Restart(returning, name))
		}
		err = errors.Join(err, b.awaitPlanner(returning))
	}()
	return b.holdMaps(ctx, func() error {
		b.tally.enter(caseAlone)
		defer b.tally.enter(caseNone)
		return rest(ctx, aloneFor)
	})
}

// awaitPlanner: somebody leads again, and has seen the other cells serve.
func (b *evacuateBench) awaitPlanner(ctx context.Context) error {
	for {
		planned, err := b.plane.PlanEvacuation(ctx, &topologyv1.PlanEvacuationRequest{CellId: b.victim.GetCellId()})
		if err == nil && planned.GetPlan().GetRefusalReason() == "" {
			return nil
		}
		if waited := rest(ctx, aloneFor/100); waited != nil {
			return errors.Join(err, fmt.Errorf("no control plane can evacuate again: %s: %w", planned.GetPlan().GetRefusalReason(), waited))
		}
	}
}

// controlPlanes that run, by the names of their processes.
func (b *evacuateBench) controlPlanes(ctx context.Context) (names []string, err error) {
	all, err := b.remote.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Running && strings.HasPrefix(s.Name, "controlplane") {
			names = append(names, s.Name)
		}
	}
	if names == nil {
		return nil, errors.New("no control plane runs")
	}
	return names, nil
}

// holdMaps while something is done, where the database can.
func (b *evacuateBench) holdMaps(ctx context.Context, during func() error) error {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: b.info.DatabaseURL, Database: sqldb.Global, MaxConns: 1, ApplicationName: "cellctl bench"})
	if err != nil {
		return err
	}
	defer db.Close()
	if db.Dialect() == sqldb.Cockroach {
		return during()
	}
	return db.InTx(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, stmtHoldMaps); err != nil {
			return fmt.Errorf("hold the maps: %w", err)
		}
		return during()
	})
}
