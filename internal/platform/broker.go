package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// brokerConfig of one region's NATS server. The regions' servers do not know each other: each is a JetStream domain of
// its own, and whoever has something for a region connects there. sync_interval: always means that what is acknowledged
// is on disk. There is room for the five streams of internal/bus and one more: two cells that declare one at the same moment are
// counted twice. Who is let in, and to what, follows.
const brokerConfig = `# Written by cellctl up.
server_name: broker-%[1]s
host: 127.0.0.1
port: %[2]d
max_payload: 1MB
jetstream {
  store_dir: %[3]q
  domain: %[1]s
  max_memory_store: 64MB
  max_file_store: 6GB
  sync_interval: always
}
`

func writeBrokerConfig(dir string, region ident.Region, port int, users map[ident.Region]string) (path string, err error) {
	store := filepath.Join(dir, string(region))
	if err := os.MkdirAll(store, 0o700); err != nil {
		return "", fmt.Errorf("broker of %s: %w", region, err)
	}
	path = filepath.Join(dir, string(region)+".conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, brokerConfig+"%[4]s", region, port, store, bus.FormatUsers(region, users)), 0o600); err != nil {
		return "", fmt.Errorf("broker of %s: %w", region, err)
	}
	return path, nil
}
