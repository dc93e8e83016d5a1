package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Config of a control plane: the environment first (CELLAR_CONTROLPLANE_…), flags override it.
type Config struct {
	Name        string        `name:"name" default:"controlplane" usage:"name of this control plane, unique among them"`
	Listen      string        `name:"listen" default:"127.0.0.1:8090" usage:"address for operators, routers and cells"`
	Admin       string        `name:"admin" default:"127.0.0.1:8180" usage:"address of /livez, /readyz and /metrics"`
	DatabaseURL string        `name:"database-url" usage:"SQL cluster, postgres://…"`
	PoolSize    int           `name:"pool-size" default:"8" usage:"connections to each logical database"`
	Map         string        `name:"map" usage:"file that every new map is written to, signed"`
	SigningKey  string        `name:"map-signing-key-file" usage:"file of the key that maps are signed with"`
	MapKey      string        `name:"map-key-file" usage:"file of the public keys that maps may be signed with"`
	PeerKey     string        `name:"peer-key-file" usage:"file of the key that the platform's own processes show each other"`
	Consul      string        `name:"consul" usage:"address of a Consul agent to publish the map to; empty for none"`
	ConsulKey   string        `name:"consul-key" default:"cellar/map" usage:"Consul's key of the map"`
	Bootstrap   string        `name:"bootstrap" usage:"file of the cells that the platform is made of; empty when cells are added by command"`
	Automation  bool          `name:"automation" default:"true" usage:"whether automation is on before anybody has moved its lever"`
	CoolDown    time.Duration `name:"cool-down" default:"5m" usage:"least time between automatic evacuations of two cells"`
	Drain       time.Duration `name:"drain" default:"0s" usage:"how long requests are still taken after /readyz has said that this control plane stops"`
}

func (c Config) validate() error {
	var wrong []error
	for _, need := range []struct{ value, name, what string }{
		{c.Name, "name", "the name of this control plane"},
		{c.DatabaseURL, "database-url", "the address of the SQL cluster"},
		{c.Map, "map", "the file for the map"},
		{c.SigningKey, "map-signing-key-file", "the file of the key that maps are signed with"},
		{c.MapKey, "map-key-file", "the file of the map's public keys"},
		{c.PeerKey, "peer-key-file", "the file of the platform's key"},
	} {
		if need.value == "" {
			wrong = append(wrong, fmt.Errorf("%s must be %s", need.name, need.what))
		}
	}
	if c.PoolSize < 4 || c.PoolSize > 100 {
		wrong = append(wrong, errors.New("pool-size must be 4 to 100"))
	}
	if c.CoolDown < 0 || c.Drain < 0 {
		wrong = append(wrong, errors.New("cool-down and drain must not be negative"))
	}
	return errors.Join(wrong...)
}

// maxBootstrap bounds what is read by mistake: a thousand cells have some 200 kB.
const maxBootstrap = 1 << 20

// bootstrapCell is one cell in the file. Its weight is 100 when it has none.
type bootstrapCell struct {
	ID       string `json:"id"`
	Region   string `json:"region"`
	Weight   int    `json:"weight,omitempty"`
	Capacity int    `json:"capacity,omitempty"`
	Public   string `json:"public"`
	Internal string `json:"internal"`
	Admin    string `json:"admin"`
}

// defaultWeight of a cell: its share of its ring, relative to the others'.
const defaultWeight = 100

// readBootstrap reads the file of the cells that the platform is made of, a JSON array.
func readBootstrap(path string) ([]topology.Cell, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("controlplane: bootstrap: %w", err)
	}
	if info.Size() > maxBootstrap {
		return nil, fmt.Errorf("controlplane: bootstrap: %s has %d bytes, at most %d", path, info.Size(), maxBootstrap)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("controlplane: bootstrap: %w", err)
	}
	var listed []bootstrapCell
	if err := json.Unmarshal(b, &listed); err != nil {
		return nil, fmt.Errorf("controlplane: bootstrap: %s: %w", path, err)
	}
	cells := make([]topology.Cell, len(listed))
	for i, c := range listed {
		if c.Weight == 0 {
			c.Weight = defaultWeight
		}
		cells[i] = topology.Cell{
			ID: c.ID, Region: ident.Region(c.Region), State: topology.Active, Weight: c.Weight, Capacity: c.Capacity,
			Public: c.Public, Internal: c.Internal, Admin: c.Admin,
		}
		if _, known := cells[i].Region.Code(); !known || c.ID == "" {
			return nil, fmt.Errorf("controlplane: bootstrap: %s: cell %q of %q: want an id, and one of %v", path, c.ID, c.Region, ident.Regions())
		}
	}
	return cells, nil
}

// WriteBootstrap writes the file that readBootstrap reads.
func WriteBootstrap(path string, cells []topology.Cell) error {
	listed := make([]bootstrapCell, len(cells))
	for i, c := range cells {
		listed[i] = bootstrapCell{ID: c.ID, Region: string(c.Region), Weight: c.Weight, Capacity: c.Capacity, Public: c.Public, Internal: c.Internal, Admin: c.Admin}
	}
	b, err := json.MarshalIndent(listed, "", "  ")
	if err != nil {
		return fmt.Errorf("controlplane: bootstrap: %w", err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("controlplane: bootstrap: %w", err)
	}
	return nil
}
