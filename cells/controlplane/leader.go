package controlplane

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/lease"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// leaseName of the one control plane that changes the map.
const leaseName = "controlplane"

// leader is whether this process is it. That it believes so while another leads, because it was frozen, does no harm:
// maps, moves and the lever's claims are each decided by a row.
type leader struct {
	keeper *lease.Keeper
	// name and address of this process, as the lease has them.
	name, address string
	log           *slog.Logger
	observe       func(bool)
	leads         atomic.Bool
}

// holderOf a name and address; the lease's row tells both.
func holderOf(name, address string) string { return name + "@" + address }

// run work whenever this process leads, until ctx ends. The work's context ends with the lease.
func (l *leader) run(ctx context.Context, work func(ctx context.Context)) {
	l.keeper.Run(ctx, leaseName, func(ctx context.Context) {
		l.leads.Store(true)
		l.observe(true)
		l.log.InfoContext(ctx, "this control plane leads")
		defer func() {
			l.leads.Store(false)
			l.observe(false)
			l.log.Info("this control plane leads no more")
		}()
		work(ctx)
	})
}

// who leads: name and address; empty while nobody does.
func (l *leader) who(ctx context.Context) (name, address string, err error) {
	holder, err := l.keeper.Holder(ctx, leaseName)
	name, address, _ = strings.Cut(holder, "@")
	return name, address, err
}

// require that this process leads. NOT_LEADER, with who does.
func (l *leader) require(ctx context.Context) error {
	if l.leads.Load() {
		return nil
	}
	name, address, err := l.who(ctx)
	if err != nil {
		return err
	}
	message := "this control plane does not lead, and nobody does right now; try again in a moment"
	if address != "" {
		message = "this control plane does not lead; ask " + name + " at " + address
	}
	return problem.New(problem.Unavailable, "NOT_LEADER", message, &problemv1.NotLeader{Leader: name, Address: address})
}
