package platform

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

func TestNoTwoPartsShareAPort(t *testing.T) {
	for _, offset := range []int{0, 1000} {
		l := NewLayout(offset)
		all := []string{l.Sandbox, loopback(l.Database)}
		for _, port := range l.Brokers {
			all = append(all, loopback(port))
		}
		for _, c := range l.Cells {
			all = append(all, c.Public, c.Internal, c.Admin)
		}
		for _, c := range l.ControlPlanes {
			all = append(all, c.Listen, c.Admin)
		}
		for _, r := range l.Routers {
			all = append(all, r.Listen, r.Admin)
		}
		slices.Sort(all)
		if n := len(all); len(slices.Compact(all)) != n || n != 2+3+6*3+3*2+2*2 {
			t.Errorf("offset %d: %d addresses, some twice", offset, n)
		}
	}
}

func TestATakenPortIsNamedWithTheWayOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := Layout{Sandbox: ln.Addr().String()}
	err = l.checkPorts(t.Context(), false)
	if err == nil || !strings.Contains(err.Error(), l.Sandbox) || !strings.Contains(err.Error(), "--port-offset") || !strings.Contains(err.Error(), "sandbox") {
		t.Errorf("got %v", err)
	}
}

func TestOnePlatformADirectory(t *testing.T) {
	dir := t.TempDir()
	first, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("a second lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := AwaitDown(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for one that stays: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := AwaitDown(t.Context(), dir); err != nil {
		t.Errorf("waiting for one that has gone: %v", err)
	}
	if _, err := Connect(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("talking to one that has gone: %v", err)
	}
}

func TestAProcessThatEndsAtOnceIsReportedWithItsLastLines(t *testing.T) {
	c := &child{name: "sick", program: "/bin/sh", args: []string{"-c", "echo it hurts; exit 3"}, logs: t.TempDir(), ready: "http://127.0.0.1:1/"}
	ended := make(chan error, 1)
	if err := c.start(func(_ *child, err error) { ended <- err }); err != nil {
		t.Fatal(err)
	}
	if err := c.awaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "it hurts") {
		t.Errorf("got %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("an exit with status 3 is no error")
	}
	if err := c.stop(); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
}

func TestAProcessIsStoppedAndKilled(t *testing.T) {
	c := &child{name: "well", program: "/bin/sh", args: []string{"-c", "exec sleep 60"}, logs: t.TempDir()}
	surprised := make(chan error, 2)
	if err := c.start(func(_ *child, err error) { surprised <- err }); err != nil {
		t.Fatal(err)
	}
	if pid, ok := c.running(); !ok || pid == 0 {
		t.Error("it does not run")
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.running(); ok {
		t.Error("it still runs")
	}
	if err := c.start(func(_ *child, err error) { surprised <- err }); err != nil {
		t.Fatal(err)
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-surprised; err == nil {
		t.Error("a kill is no surprise")
	}
	if len(surprised) != 0 {
		t.Error("a stop was reported as a crash")
	}
}

func TestCockroachNodesKnowEachOtherAndTheirRegions(t *testing.T) {
	for n, region := range ident.Regions() {
		args := strings.Join(cockroachArgs("/data", 26257, n), " ")
		for _, want := range []string{"--join=127.0.0.1:26257,127.0.0.1:26258,127.0.0.1:26259", "--locality=region=" + string(region), "--listen-addr=127.0.0.1:2625"} {
			if !strings.Contains(args, want) {
				t.Errorf("node %d lacks %s: %s", n, want, args)
			}
		}
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv("COCKROACH_BINARY", "")
	if _, err := cockroachBinary(); err == nil || !strings.Contains(err.Error(), "COCKROACH_BINARY") {
		t.Errorf("without a program: %v", err)
	}
	t.Setenv("COCKROACH_BINARY", "/opt/cockroach")
	if got, err := cockroachBinary(); err != nil || got != "/opt/cockroach" {
		t.Errorf("named: %s, %v", got, err)
	}
}

func TestTheDatabaseGoesWhereItsUserCanReachIt(t *testing.T) {
	open := t.TempDir()
	for dir := open; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if !reachable(open) {
		t.Errorf("%s is open, and said not to be", open)
	}
	closed := filepath.Join(open, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if reachable(closed) || reachable(filepath.Join(open, "missing")) {
		t.Error("a closed or missing folder is said to be reachable")
	}
}

func TestBrokersKeepWhatTheyAcknowledge(t *testing.T) {
	dir := t.TempDir()
	path, err := writeBrokerConfig(dir, "us-east-1", 4222, map[ident.Region]string{"us-west-2": "UA"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sync_interval: always", "port: 4222", "domain: us-east-1", "host: 127.0.0.1", "nkey: UA"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the configuration lacks %q:\n%s", want, b)
		}
	}
}

func TestMissingProgramsAreNamedBeforeAnythingStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "platform")
	_, err := Start(t.Context(), Config{Dir: dir, BinDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was left behind")
	}
}

func TestAProcessTakesItsShareOfTheMachineUnlessTheOperatorSays(t *testing.T) {
	given := func(set ...string) func(string) string {
		return func(name string) string {
			if slices.Contains(set, name) {
				return "4"
			}
			return ""
		}
	}
	for _, c := range []struct {
		set   []string
		cores int
		want  []string
	}{
		{nil, 3, []string{"GOGC=400", "GOMAXPROCS=3"}},
		{[]string{"GOMAXPROCS"}, 3, []string{"GOGC=400"}},
		{[]string{"GOGC"}, 3, []string{"GOMAXPROCS=3"}},
		{[]string{"GOGC", "GOMAXPROCS"}, 3, nil},
	} {
		if got := share(given(c.set...), c.cores); !slices.Equal(got, c.want) {
			t.Errorf("of %d cores, with %v set: %v, want %v", c.cores, c.set, got, c.want)
		}
	}
	for machine, want := range map[int]int{1: 1, 2: 2, 8: 2, 12: 2, 24: 4} {
		if got := coresOf(machine); got != want {
			t.Errorf("of %d cores a program takes %d, want %d", machine, got, want)
		}
	}
}
