package platform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cellar-commerce/cellar/cells/controlplane"
)

// planes of the layout that are to run.
func (p *Platform) planes() []ControlPlaneSpec {
	if p.cfg.Standby {
		return p.layout.ControlPlanes
	}
	return p.layout.ControlPlanes[:1]
}

// controlPlanes' addresses, separated by commas.
func (p *Platform) controlPlanes() string {
	var addresses []string
	for _, c := range p.planes() {
		addresses = append(addresses, c.Listen)
	}
	return strings.Join(addresses, ",")
}

// startControlPlanes before whoever wants a map. They are told which cells there are; the rest is theirs: on the very first
// start they deal the slots, later they take over addresses that have changed.
func (p *Platform) startControlPlanes(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(processMap(p.cfg.Dir, "")), 0o700); err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	if err := controlplane.WriteBootstrap(bootstrapFile(p.cfg.Dir), p.layout.topologyCells()); err != nil {
		return err
	}
	var all []*child
	for i, c := range p.planes() {
		own := mapFile(p.cfg.Dir)
		if i > 0 {
			own = processMap(p.cfg.Dir, c.Name)
		}
		child := p.child(c.Name, "controlplane", "http://"+c.Admin+"/readyz",
			"--name", c.Name, "--listen", c.Listen, "--admin", c.Admin, "--database-url", p.database.URL(), "--map", own,
			"--map-signing-key-file", keyFile(p.path("keys"), KeyMap), "--map-key-file", publicKeyFile(p.path("keys")),
			"--peer-key-file", keyFile(p.path("keys"), KeyPeer), "--bootstrap", bootstrapFile(p.cfg.Dir))
		child.args = append(child.args, p.cfg.ControlPlaneFlags...)
		all = append(all, child)
	}
	return p.startAll(ctx, all)
}
