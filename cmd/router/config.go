package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/cellar-commerce/cellar/cells/controlplane/report"
	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/router"
)

// config: the environment first (CELLAR_ROUTER_…), flags override it.
type config struct {
	Region string        `name:"region" usage:"region of this router"`
	Name   string        `name:"name" usage:"name of this router in reports, unique among all; empty for its region, host and address"`
	Listen string        `name:"listen" default:"127.0.0.1:8080" usage:"address for shoppers"`
	Admin  string        `name:"admin" default:"127.0.0.1:8160" usage:"address of /livez, /readyz and /metrics"`
	Map    string        `name:"map" usage:"this router's own file of the last good map, watched for changes"`
	MapKey string        `name:"map-key-file" usage:"file of the public keys that maps may be signed with"`
	Plane  string        `name:"control-plane" usage:"addresses of the control plane, host:port separated by commas; empty for none"`
	Peer   string        `name:"peer-key-file" usage:"file of the key that the platform's own processes show each other; for the control plane"`
	Consul string        `name:"consul" usage:"address of a Consul agent that has the map; empty for none"`
	Key    string        `name:"consul-key" default:"cellar/map" usage:"Consul's key of the map"`
	Mode   string        `name:"consul-mode" default:"stale" usage:"whose word Consul's reads take: stale, default or consistent"`
	Drain  time.Duration `name:"drain" default:"1s" usage:"how long requests are still taken after /readyz has said that this router stops"`
}

func (c config) validate() error {
	if _, known := ident.Region(c.Region).Code(); !known {
		return fmt.Errorf("router: --region must be one of %v", ident.Regions())
	}
	if c.Map == "" || c.MapKey == "" {
		return errors.New("router: --map and --map-key-file must name the files of the map and of its public keys")
	}
	if c.Plane != "" && c.Peer == "" {
		return errors.New("router: --control-plane wants --peer-key-file too")
	}
	return nil
}

// follow the map, once there is one.
func (c config) follow(ctx context.Context, maps *topology.Holder, log *slog.Logger, observe topology.Observer) (*topology.Follower, error) {
	peers, err := c.peers()
	if err != nil {
		return nil, err
	}
	return topology.Feed{
		Map: c.Map, Keys: c.MapKey, ControlPlane: c.Plane, Client: peers, Consul: c.Consul, ConsulKey: c.Key, ConsulMode: c.Mode,
		Holder: maps, Clock: clock.System{}, Log: log, Observe: observe,
	}.Start(ctx, func(*topology.Map) error { return nil })
}

// peers is a client that shows the platform's key, if there is one.
func (c config) peers() (*http.Client, error) {
	var key string
	if c.Peer != "" {
		var err error
		if key, err = secret.Read(c.Peer); err != nil {
			return nil, err
		}
	}
	return rpc.Peer(key, nil), nil
}

// reporter tells the control planes what this router sees of cells.
func (c config) reporter(maps *topology.Holder, r *router.Router, log *slog.Logger) (*report.Reporter, error) {
	peers, err := c.peers()
	if err != nil {
		return nil, err
	}
	name := c.Name
	if name == "" {
		host, _ := os.Hostname() // the address alone is a name, too
		name = "router/" + c.Region + "/" + host + "/" + c.Listen
	}
	cells := func() []report.Cell {
		seen := r.Reports()
		all := make([]report.Cell, len(seen))
		for i, s := range seen {
			all[i] = report.Cell{ID: s.Cell, Healthy: s.Healthy, Requests: s.Requests, Errors: s.Failures}
		}
		return all
	}
	return report.New(report.Deps{
		Name: name, Region: ident.Region(c.Region), To: report.Addresses(c.Plane), Peers: peers,
		Version: maps.Version, Cells: cells, Clock: clock.System{}, Log: log,
	}), nil
}
