// Package bustest runs a real broker inside a test.
//
// The broker is an embedded nats-server with JetStream on loopback, with a store in the test's
// temporary directory. It can be stopped and started again on the same port and store, which
// is what a broker's restart looks like to its clients.
package bustest

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyTimeout bounds the wait for a broker to take connections; on a busy machine it recovers its store slowly.
const readyTimeout = 30 * time.Second

// Start runs a broker until the test ends and gives its URL.
func Start(t testing.TB) (url string) {
	t.Helper()
	return New(t).URL()
}

// Broker that can be stopped and started.
type Broker struct {
	t    testing.TB
	opts server.Options
	url  string

	mu      sync.Mutex
	running *server.Server
}

// New broker, started; it is stopped when the test ends.
func New(t testing.TB) *Broker {
	t.Helper()
	return Guarded(t, "")
}

// Guarded is New, with the users of a server's configuration, and nobody else, let in.
func Guarded(t testing.TB, users string) *Broker {
	t.Helper()
	b := &Broker{t: t, opts: server.Options{
		ServerName: "bustest", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	if users != "" {
		if err := b.opts.ProcessConfigString(users); err != nil {
			t.Fatalf("bustest: %v", err)
		}
	}
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

// URL for clients; the same after a restart.
func (b *Broker) URL() string { return b.url }

// Start the broker again on its port and store. It does nothing while the broker runs.
func (b *Broker) Start() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		return
	}
	opts := b.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		b.t.Fatalf("bustest: a broker: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		b.t.Fatal("bustest: the broker takes no connections")
	}
	b.url, b.running = s.ClientURL(), s
	b.opts.Port = opts.Port // the server has put the port it got into its options
}

// Stop the broker: connections are cut, what it acknowledged is on disk. It does nothing while the broker is stopped.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		return
	}
	b.running.Shutdown()
	b.running.WaitForShutdown()
	b.running = nil
}

// Lose all that the broker has stored, as a disk that dies does. It must be stopped.
func (b *Broker) Lose() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		b.t.Fatal("bustest: a broker that runs keeps its disk")
	}
	if err := os.RemoveAll(b.opts.StoreDir); err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
}

// Consumers of a stream that the broker knows, durable or not; 0 while it is stopped. A test waits on it until a follower
// is in place.
func (b *Broker) Consumers(stream string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		return 0
	}
	info, err := b.running.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return 0 // JetStream is not up yet
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if s.Name == stream {
				return s.State.Consumers
			}
		}
	}
	return 0
}
