package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cellar-commerce/cellar/cells"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Config of a platform.
type Config struct {
	// Dir keeps everything that outlives the processes; made when missing.
	Dir string
	// BinDir has the programs cell, router, controlplane, sandbox and nats-server.
	BinDir string
	// PortOffset moves every port.
	PortOffset int
	// Cores that each program but a router takes for the whole machine; 0 is its share.
	Cores int
	// CellsPerRegion is how many cells each region has; 0 means the usual number.
	CellsPerRegion int
	// DatabaseURL of a SQL server that is there already; empty starts one.
	DatabaseURL string
	// Cockroach starts a CockroachDB cluster in place of PostgreSQL.
	Cockroach bool
	// Standby starts a second control plane, which takes over when the first is gone.
	Standby bool
	// CellFlags are given to every cell besides its own, ControlPlaneFlags to every control plane.
	CellFlags, ControlPlaneFlags []string
	// Fill is called with the database's URL before the first cell starts; may be nil.
	Fill func(ctx context.Context, databaseURL string) error
	// Out is told in sentences what happens; nil is quiet.
	Out io.Writer
}

// Platform is all the processes of one machine.
type Platform struct {
	cfg      Config
	layout   Layout
	lock     *os.File
	database database

	mu       sync.Mutex
	children []*child // in the order of starting
	stopping bool
}

// database that the cells use.
type database interface {
	URL() string
	// Stop ends it, if the platform started it.
	Stop() error
	// Status lines of it; none for one that is not ours.
	Status() []Status
}

// Start everything and wait until it serves. The platform runs until Stop; an error leaves nothing running.
func Start(ctx context.Context, cfg Config) (*Platform, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	cfg.Dir = dir
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	p := &Platform{cfg: cfg, layout: layoutWith(cfg.PortOffset, cmp.Or(cfg.CellsPerRegion, CellsPerRegion))}
	if err := p.checkPrograms(); err != nil {
		return nil, err
	}
	//nolint:gosec // the database's own user has to pass; what is secret below is closed to others
	if err := os.MkdirAll(p.path("logs"), 0o755); err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	if p.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Platform) path(parts ...string) string {
	return filepath.Join(append([]string{p.cfg.Dir}, parts...)...)
}

func (p *Platform) program(name string) string { return filepath.Join(p.cfg.BinDir, name) }

// checkPrograms tells what is missing before anything is started.
func (p *Platform) checkPrograms() error {
	for _, name := range []string{"cell", "router", "controlplane", "sandbox", "nats-server"} {
		if _, err := os.Stat(p.program(name)); err != nil {
			return fmt.Errorf("the program %s is not there: run `make build` first", p.program(name))
		}
	}
	return nil
}

// start in the order of the package comment.
func (p *Platform) start(ctx context.Context) error {
	begun := time.Now()
	if err := p.layout.checkPorts(ctx, p.cfg.DatabaseURL == ""); err != nil {
		return err
	}
	if err := makeKeys(p.path("keys")); err != nil {
		return err
	}
	if err := p.startGround(ctx); err != nil {
		return err
	}
	p.say("%-28s %s", "database, brokers, sandbox", since(begun))
	if err := p.prepareDatabase(ctx); err != nil {
		return err
	}
	if err := p.startControlPlanes(ctx); err != nil {
		return err
	}
	if p.cfg.Fill != nil {
		if err := p.cfg.Fill(ctx, p.database.URL()); err != nil {
			return err
		}
	}
	p.say("%-28s %s", "schema, map, catalogue", since(begun))
	if err := p.startAll(ctx, p.cellChildren()); err != nil {
		return err
	}
	p.say("%-28s %s", "cells", since(begun))
	if err := p.startAll(ctx, p.routerChildren()); err != nil {
		return err
	}
	p.say("%-28s %s", "routers: ready", since(begun))
	return nil
}

func since(begun time.Time) string { return fmt.Sprintf("%5.1f s", time.Since(begun).Seconds()) }

func (p *Platform) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.cfg.Out, format+"\n", args...) // nobody is left to be told
}

// startGround starts what everything stands on, at once.
func (p *Platform) startGround(ctx context.Context) error {
	ground := []*child{p.sandboxChild()}
	for _, region := range ident.Regions() {
		broker, err := p.brokerChild(region)
		if err != nil {
			return err
		}
		ground = append(ground, broker)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		db, err := p.openDatabase(ctx)
		p.mu.Lock()
		p.database = db
		p.mu.Unlock()
		return err
	})
	g.Go(func() error { return p.startAll(ctx, ground) })
	return g.Wait()
}

// startAll processes at once, and wait until each serves.
func (p *Platform) startAll(ctx context.Context, children []*child) error {
	p.mu.Lock()
	p.children = append(p.children, children...)
	p.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range children {
		g.Go(func() error {
			if err := c.start(p.ended); err != nil {
				return err
			}
			return c.awaitReady(ctx)
		})
	}
	return g.Wait()
}

// ended reports a process that ended without having been asked to.
func (p *Platform) ended(c *child, err error) {
	p.mu.Lock()
	stopping := p.stopping
	p.mu.Unlock()
	if stopping {
		return
	}
	how := "with status 0"
	if err != nil {
		how = err.Error()
	}
	p.say("%s ended by itself (%s) and stays down; `cellctl restart %s` starts it again. Its last lines:\n%s", c.name, how, c.name, c.lastLines(8))
}

func (p *Platform) child(name, program, ready string, args ...string) *child {
	c := &child{name: name, program: p.program(program), args: args, logs: p.path("logs"), ready: ready}
	if program != "router" { // of which every request of its region needs some
		c.env = share(os.Getenv, cmp.Or(p.cfg.Cores, coresOf(runtime.NumCPU())))
	}
	return c
}

const (
	// carrierDay is how long a day of the parcel carrier takes here: a parcel that is promised in three days is at the door after
	// some fifteen seconds.
	carrierDay = 5 * time.Second
	// collectEvery is how often it collects: five times a day of its clock, so that who looks at a parcel sees it leave.
	collectEvery = time.Second
	// trackEvery is after how much silence it is asked after a parcel, on the same clock.
	trackEvery = 10 * time.Second
)

func (p *Platform) sandboxChild() *child {
	return p.child("sandbox", "sandbox", "http://"+p.layout.Sandbox+"/readyz", "--listen", p.layout.Sandbox, "--mail-listen", p.layout.Mail, "--data", p.path("sandbox"),
		"--webhook-key-file", keyFile(p.path("keys"), KeyCardEvents), "--carrier-day", carrierDay.String(),
		"--carrier-webhook-url", "http://"+p.layout.Routers[0].Listen+cells.CarrierWebhookPath)
}

func (p *Platform) brokerChild(region ident.Region) (*child, error) {
	users, err := brokerUsers(p.path("keys"))
	if err != nil {
		return nil, err
	}
	config, err := writeBrokerConfig(p.path("nats"), region, p.layout.Brokers[region], users)
	if err != nil {
		return nil, err
	}
	c := p.child("broker-"+string(region), "nats-server", "", "--config", config)
	c.listens = loopback(p.layout.Brokers[region])
	return c, nil
}

// BrokerURLs by region.
func (l Layout) BrokerURLs() map[ident.Region]string {
	urls := map[ident.Region]string{}
	for region, port := range l.Brokers {
		urls[region] = "nats://" + loopback(port)
	}
	return urls
}

func (p *Platform) cellChildren() []*child {
	var all []*child
	for _, c := range p.layout.Cells {
		all = append(all, p.child("cell-"+c.ID, "cell", "http://"+c.Admin+"/readyz",
			"--id", c.ID, "--lanes", lanesOn(runtime.NumCPU()), "--region", string(c.Region), "--public", c.Public, "--internal", c.Internal, "--admin", c.Admin,
			"--map", processMap(p.cfg.Dir, "cell-"+c.ID), "--map-key-file", publicKeyFile(p.path("keys")), "--control-plane", p.controlPlanes(), "--database-url", p.database.URL(), "--brokers", cells.FormatBrokers(p.layout.BrokerURLs()), "--broker-credentials", credentialFile(p.path("keys"), c.Region),
			"--card-network", "http://"+p.layout.Sandbox, "--carrier", "http://"+p.layout.Sandbox, "--carrier-events-key-file", keyFile(p.path("keys"), KeyCardEvents), "--track-every", trackEvery.String(), "--collect-every", collectEvery.String(), "--session-key-file", keyFile(p.path("keys"), KeySession),
			"--quote-key-file", keyFile(p.path("keys"), KeyQuote), "--peer-key-file", keyFile(p.path("keys"), KeyPeer),
			"--gift-card-key-file", keyFile(p.path("keys"), KeyGiftCards), "--card-events-key-file", keyFile(p.path("keys"), KeyCardEvents), "--test-cards=true",
			"--mail-server", p.layout.Mail, "--sms", "http://"+p.layout.Sandbox, "--shop-url", "http://"+p.layout.Routers[0].Listen, "--passkey-origins", p.layout.PasskeyOrigins()))
		last := all[len(all)-1]
		last.args = append(last.args, p.cfg.CellFlags...)
	}
	return all
}

func (p *Platform) routerChildren() []*child {
	var all []*child
	for _, r := range p.layout.Routers {
		all = append(all, p.child("router-"+string(r.Region), "router", "http://"+r.Listen+"/readyz",
			"--region", string(r.Region), "--name", "router/"+string(r.Region), "--listen", r.Listen, "--admin", r.Admin,
			"--map", processMap(p.cfg.Dir, "router-"+string(r.Region)), "--map-key-file", publicKeyFile(p.path("keys")),
			"--control-plane", p.controlPlanes(), "--peer-key-file", keyFile(p.path("keys"), KeyPeer)))
	}
	return all
}

// Layout of the platform.
func (p *Platform) Layout() Layout { return p.layout }

// DatabaseURL of its SQL server.
func (p *Platform) DatabaseURL() string { return p.database.URL() }

// Stop everything, in the reverse order of starting, routers and cells each at once.
func (p *Platform) Stop() error {
	p.mu.Lock()
	p.stopping = true
	children := slices.Clone(p.children)
	p.mu.Unlock()
	var failures []error
	for _, kind := range []string{"router", "cell", ""} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, c := range children {
			if kind != "" && filepath.Base(c.program) != kind {
				continue
			}
			wg.Go(func() {
				if err := c.stop(); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, err)
				}
			})
		}
		wg.Wait()
	}
	if p.database != nil {
		failures = append(failures, p.database.Stop())
	}
	if p.lock != nil {
		failures = append(failures, p.lock.Close())
	}
	return errors.Join(failures...)
}

// Status of every process.
func (p *Platform) Status(ctx context.Context) []Status {
	p.mu.Lock()
	children := slices.Clone(p.children)
	p.mu.Unlock()
	all := p.database.Status()
	for _, c := range children {
		pid, running := c.running()
		all = append(all, Status{Name: c.name, PID: pid, Running: running, Ready: running && c.serves(ctx), Log: c.logFile()})
	}
	return all
}

// Restart one process: it is stopped if it runs, started, and serves when Restart returns.
func (p *Platform) Restart(ctx context.Context, name string) error {
	c, err := p.find(name)
	if err != nil {
		return err
	}
	if err := c.stop(); err != nil {
		return err
	}
	if err := c.start(p.ended); err != nil {
		return err
	}
	return c.awaitReady(ctx)
}

// Kill one process as a crash would: at once, without a word.
func (p *Platform) Kill(name string) error {
	c, err := p.find(name)
	if err != nil {
		return err
	}
	return c.kill()
}

func (p *Platform) find(name string) (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, c := range p.children {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("there is no process %q; there are %v", name, names)
}
