package bustest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// envBroker names the configuration of the broker that a test program is to be, in place of running tests.
const envBroker = "BUSTEST_BROKER"

// PlayBroker is called first in the TestMain of a package that uses NewProcess. It returns unless this process is a broker.
func PlayBroker() {
	config := os.Getenv(envBroker)
	if config == "" {
		return
	}
	opts, err := server.ProcessConfigFile(config)
	if err == nil {
		opts.NoLog, opts.NoSigs = true, true
		var s *server.Server
		if s, err = server.NewServer(opts); err == nil {
			s.Start()
			_, err = io.Copy(io.Discard, os.Stdin) // until the test's process ends, however it does
		}
	}
	fmt.Fprintln(os.Stderr, "bustest: the broker ends:", err)
	os.Exit(1)
}

// Process is a broker in a process of its own, which can be killed as `kill -9` does.
type Process struct {
	t             testing.TB
	config, store string
	address       string
	cmd           *exec.Cmd
}

// NewProcess with JetStream's sync_interval as given, "always" for example; it is killed when the test ends.
func NewProcess(t testing.TB, sync string) *Process {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &Process{t: t, config: filepath.Join(dir, "broker.conf"), store: filepath.Join(dir, "store"), address: ln.Addr().String()}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: %s }\n", p.address, p.store, sync)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Start()
	t.Cleanup(p.Kill)
	return p
}

// URL for clients; the same after a restart.
func (p *Process) URL() string { return "nats://" + p.address }

// Start the process again on its port and store, and wait until it takes connections.
func (p *Process) Start() {
	p.t.Helper()
	p.cmd = exec.CommandContext(context.WithoutCancel(p.t.Context()), os.Args[0]) //nolint:gosec // this test program itself; Kill ends it
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), envBroker+"="+p.config), os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	tick, late := time.NewTicker(5*time.Millisecond), time.After(readyTimeout)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(p.t.Context(), "tcp", p.address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatal("bustest: the broker takes no connections")
		}
	}
}

// Kill the process at once. It does nothing when it has been killed.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that it was killed
	p.cmd = nil
}

// Sizes of the files of messages, by path: a process that notes them when it has an acknowledgement knows what is on the disk
// of a broker that syncs first.
func (p *Process) Sizes() map[string]int64 {
	sizes := map[string]int64{}
	_ = filepath.WalkDir(p.store, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".blk") {
			if info, err := d.Info(); err == nil {
				sizes[path] = info.Size()
			}
		}
		return nil // what goes away meanwhile is not counted
	})
	return sizes
}

// LoseUnsynced cuts every file of messages to the size that is known to be synced, nought if none is, and deletes the indexes,
// which the broker makes anew. The process must have been killed.
func (p *Process) LoseUnsynced(synced map[string]int64) {
	p.t.Helper()
	if p.cmd != nil {
		p.t.Fatal("bustest: a broker that runs keeps its disk")
	}
	for path, size := range p.Sizes() {
		if err := os.Truncate(path, min(size, synced[path])); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(filepath.Dir(path), "index.db")); err != nil && !os.IsNotExist(err) {
			p.t.Fatal(err)
		}
	}
}

// Messages that a stream has.
func (p *Process) Messages(stream string) uint64 {
	p.t.Helper()
	conn, err := nats.Connect(p.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := js.Stream(p.t.Context(), stream)
	if err != nil {
		p.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
