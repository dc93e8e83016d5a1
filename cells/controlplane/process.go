package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// Process is one control plane.
type Process struct {
	cfg               Config
	log               *slog.Logger
	metrics           *telemetry.Metrics
	global, customers *sqldb.DB
	service           *Service
	outlets           []outlet
	peer              string
	ready             telemetry.Readiness
}

// NewProcess assembles a control plane. Nothing runs yet but connections.
func NewProcess(ctx context.Context, cfg Config, logs io.Writer) (*Process, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	p := &Process{
		cfg: cfg, log: telemetry.NewLogger(logs, slog.LevelInfo, "controlplane", cfg.Name),
		metrics: telemetry.NewMetrics(map[string]string{"controlplane": cfg.Name}),
	}
	if err := p.assemble(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("controlplane %s: %w", cfg.Name, err), p.Close())
	}
	return p, nil
}

func (p *Process) assemble(ctx context.Context) (err error) {
	key, err := topology.ReadSigningKey(p.cfg.SigningKey)
	if err != nil {
		return err
	}
	keys, err := topology.ReadKeys(p.cfg.MapKey)
	if err != nil {
		return err
	}
	if keys[key.ID()] == nil {
		return fmt.Errorf("%s does not have the public key of %s: nobody would follow what is signed with it", p.cfg.MapKey, p.cfg.SigningKey)
	}
	if p.peer, err = secret.Read(p.cfg.PeerKey); err != nil {
		return err
	}
	deployed, err := readBootstrap(p.cfg.Bootstrap)
	if err != nil {
		return err
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	p.service = New(Deps{
		Global: p.global, Customers: p.customers, Key: key, Keys: keys, Primary: ident.Regions()[0], Name: p.cfg.Name, Address: p.cfg.Listen,
		Floor: versionIn(p.cfg.Map, keys), Deployed: deployed, Automation: p.cfg.Automation, CoolDown: p.cfg.CoolDown, Clock: clock.System{}, Log: p.log, Observe: telemetry.NewControlPlaneMetrics(p.metrics),
	})
	p.outlets = []outlet{fileOutlet(p.cfg.Map)}
	if p.cfg.Consul == "" {
		return nil
	}
	consul, err := topology.NewConsul(topology.ConsulConfig{Address: p.cfg.Consul, Key: p.cfg.ConsulKey, Clock: clock.System{}})
	p.outlets = append(p.outlets, consulOutlet(consul, keys))
	return err
}

// versionIn a file of the map; 0 when there is none that is good.
func versionIn(path string, keys topology.Keys) uint64 {
	m, err := topology.ReadFile(path, keys)
	if err != nil {
		return 0
	}
	return m.Version
}

func (p *Process) open(ctx context.Context) (err error) {
	for _, d := range []struct {
		into     **sqldb.DB
		database sqldb.Database
	}{{&p.global, sqldb.Global}, {&p.customers, sqldb.Customer}} {
		*d.into, err = sqldb.Open(ctx, sqldb.Config{
			URL: p.cfg.DatabaseURL, Database: d.database, MaxConns: p.cfg.PoolSize, PointPlans: true, ApplicationName: "controlplane " + p.cfg.Name, Observe: p.metrics,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close the connections of a control plane that does not run any more.
func (p *Process) Close() error {
	for _, db := range []*sqldb.DB{p.global, p.customers} {
		if db != nil {
			db.Close()
		}
	}
	return nil
}

// handler of the listener: the service for those who show the platform's key, and pages for browsers of this machine.
func handler(s *Service, peer string, log *slog.Logger, observe rpc.Observer) http.Handler {
	mux := http.NewServeMux()
	path, service := topologyv1connect.NewTopologyServiceHandler(s, rpc.HandlerOptions(log, observe)...)
	mux.Handle(path, rpc.Internal(peer, service))
	s.pages(mux)
	return mux
}

// Run the control plane until ctx ends.
func (p *Process) Run(ctx context.Context) error {
	workers := []process.Worker{{Name: "service", Run: func(ctx context.Context) error { p.service.Run(ctx); return nil }}}
	for _, o := range p.outlets {
		workers = append(workers, process.Worker{Name: "map to " + o.name, Run: func(ctx context.Context) error {
			o.run(ctx, p.service.feed, clock.System{}, p.log)
			return nil
		}})
	}
	group := process.Group{
		Log: p.log,
		Listeners: []process.Listener{
			{Name: "service", Address: p.cfg.Listen, Handler: handler(p.service, p.peer, p.log, p.metrics)},
			{Name: "admin", Address: p.cfg.Admin, Handler: telemetry.Admin(p.metrics, &p.ready)},
		},
		Workers: workers, SetReady: p.setReady, Drain: p.cfg.Drain,
	}
	return errors.Join(group.Run(ctx), p.Close())
}

// setReady is told when requests may come, and when no more may: then streams end, for their watchers to find another.
func (p *Process) setReady(up bool) {
	if !up {
		p.ready.Drain()
		p.service.feed.end()
		return
	}
	p.ready.Set(true)
}
