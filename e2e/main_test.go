//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/audit"
	"github.com/cellar-commerce/cellar/internal/cellctl"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/platform"
)

// the platform that all tests share.
var running *platform.Platform

const products = 800

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "cellar-e2e-")
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the database may run as another user
		return 1, err
	}
	offset, err := freeOffset()
	if err != nil {
		return 1, err
	}
	running, err = platform.Start(ctx, platform.Config{Dir: dir, BinDir: bin(), PortOffset: offset, Out: os.Stderr, Fill: fill})
	if err != nil {
		return 1, err
	}
	serving, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	if err := running.ServeControl(serving, func() {}); err != nil {
		return 1, errors.Join(err, running.Stop())
	}
	code = m.Run()
	err = finalAudit()
	err = errors.Join(err, running.Stop())
	if code == 0 && err == nil {
		return 0, os.RemoveAll(dir)
	}
	fmt.Fprintln(os.Stderr, "e2e: the logs are kept in", filepath.Join(dir, "logs"))
	return code, err
}

func bin() string {
	path, err := filepath.Abs("../bin")
	if err != nil {
		panic(err)
	}
	return path
}

// fill the shelves with a small catalogue.
func fill(ctx context.Context, url string) error { return opening.Fill(ctx, url, products, 7) }

// freeOffset finds ports that nobody uses, so that a platform in another folder is left alone.
func freeOffset() (int, error) {
	for offset := 20000; offset < 36000; offset += 1000 {
		if free(platform.NewLayout(offset)) {
			return offset, nil
		}
	}
	return 0, errors.New("no free range of ports")
}

func free(l platform.Layout) bool {
	for _, address := range []string{l.Routers[0].Listen, l.Sandbox, l.Cells[0].Public, fmt.Sprintf("127.0.0.1:%d", l.Database)} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		_ = ln.Close()
	}
	return true
}

// finalAudit of everything that the tests have done.
func finalAudit() error {
	report, err := findings()
	if err != nil || report.Clean() {
		return err
	}
	var all []string
	for _, p := range report.Promises {
		all = append(all, p.Violations...)
	}
	return errors.New("promises are broken:\n" + strings.Join(all, "\n"))
}

func findings() (audit.Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return cellctl.Audit(ctx, running.Info())
}

// router of a region, by its place among the regions.
func router(n int) string { return "http://" + running.Layout().Routers[n].Listen }

func routers() []string { return []string{router(0), router(1), router(2)} }

// eventually waits for a state, looking often, for half a minute at most.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}
