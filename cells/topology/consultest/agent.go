package consultest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// readyTimeout for an agent that has to elect itself first.
const readyTimeout = time.Minute

// Agent is one server, which may be killed and started again.
type Agent struct {
	// Address of its HTTP interface.
	Address string

	t       testing.TB
	data    string
	ports   []string // HTTP, gossip, raft
	process *exec.Cmd
	log     bytes.Buffer
}

// New agent, not yet started. It ends with the test.
func New(t testing.TB) *Agent {
	t.Helper()
	a := &Agent{t: t, data: t.TempDir(), ports: freePorts(t, 3)}
	a.Address = "127.0.0.1:" + a.ports[0]
	t.Cleanup(a.Kill)
	return a
}

// Start the agent and wait until it is its own leader.
func (a *Agent) Start() {
	a.t.Helper()
	a.process = exec.CommandContext(context.WithoutCancel(a.t.Context()), program(a.t), "agent", "-server", "-bootstrap-expect=1", "-node=test", "-data-dir="+a.data,
		"-bind=127.0.0.1", "-client=127.0.0.1", "-http-port="+a.ports[0], "-serf-lan-port="+a.ports[1], "-server-port="+a.ports[2],
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-disable-host-node-id", "-log-level=warn",
		"-hcl=performance { raft_multiplier = 1 } disable_update_check = true connect { enabled = false }")
	a.process.Stdout, a.process.Stderr = &a.log, &a.log
	if err := a.process.Start(); err != nil {
		a.t.Fatalf("consultest: %v", err)
	}
	tick, late := time.NewTicker(20*time.Millisecond), time.After(readyTimeout)
	defer tick.Stop()
	for a.leader() == "" {
		select {
		case <-tick.C:
		case <-late:
			a.Kill()
			a.t.Fatalf("consultest: the agent has no leader:\n%s", a.log.String())
		}
	}
}

// leader as the agent names it; empty while there is none.
func (a *Agent) leader() string {
	status, body := a.do(http.MethodGet, "/v1/status/leader", "")
	if status != http.StatusOK {
		return ""
	}
	return strings.Trim(strings.TrimSpace(body), `"`)
}

// Kill the agent as a crash would; nothing if it does not run.
func (a *Agent) Kill() {
	if a.process == nil {
		return
	}
	_ = a.process.Process.Kill() // it may have gone by itself
	_ = a.process.Wait()         // killed: that is no news
	a.process = nil
}

// Forget all that it has stored. It must not run.
func (a *Agent) Forget() {
	a.t.Helper()
	if err := os.RemoveAll(a.data); err != nil {
		a.t.Fatal(err)
	}
}

// Set a key to any bytes, past whatever the code under test thinks of them.
func (a *Agent) Set(key, value string) {
	a.t.Helper()
	if status, body := a.do(http.MethodPut, "/v1/kv/"+key, value); status != http.StatusOK || strings.TrimSpace(body) != "true" {
		a.t.Fatalf("consultest: set %s: %d %s", key, status, body)
	}
}

// do a request; status 0 when there is no answer.
func (a *Agent) do(method, path, body string) (status int, answer string) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.Address+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}

// program builds the agent once; when it is there and its module has not changed this takes a moment.
func program(t testing.TB) string {
	t.Helper()
	path, err := build(t.Context())
	if err != nil {
		t.Fatalf("consultest: %v", err)
	}
	return path
}

func build(ctx context.Context) (path string, err error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..", "..")
	path = filepath.Join(root, "bin", "tools", "consul")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/hashicorp/consul")
	cmd.Dir = filepath.Join(root, "tools", "consul")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build consul: %w\n%s", err, out)
	}
	return path, nil
}

func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all are held until the last is found, so that they differ
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
