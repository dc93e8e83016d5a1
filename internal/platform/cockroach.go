package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// cockroach is a cluster of one node a region, on this machine.
type cockroach struct {
	nodes []*child
	url   string
}

// cockroachBinary is what COCKROACH_BINARY names, or what the PATH has.
func cockroachBinary() (string, error) {
	if named := os.Getenv("COCKROACH_BINARY"); named != "" {
		return named, nil
	}
	found, err := exec.LookPath("cockroach")
	if err != nil {
		return "", errors.New("--db=cockroach needs the cockroach program: put it on the PATH, or name it by COCKROACH_BINARY; without --db PostgreSQL is used")
	}
	return found, nil
}

// cockroachArgs of one node. The largest clock offset is small because everything runs on one clock; the localities
// are what the schema's regions mean.
func cockroachArgs(dir string, base, n int) []string {
	regions := ident.Regions()
	join := make([]string, len(regions))
	for i := range regions {
		join[i] = loopback(base + i)
	}
	return []string{
		"start", "--insecure", "--store=" + filepath.Join(dir, "node"+strconv.Itoa(n+1)), "--listen-addr=" + join[n],
		"--http-addr=" + loopback(base+100+n), "--join=" + strings.Join(join, ","), "--max-offset=250ms",
		"--locality=region=" + string(regions[n]) + ",zone=a",
	}
}

// cockroachWait bounds the start of the cluster.
const cockroachWait = 60 * time.Second

func (p *Platform) startCockroach(ctx context.Context) (database, error) {
	program, err := cockroachBinary()
	if err != nil {
		return nil, err
	}
	c := &cockroach{url: fmt.Sprintf("postgres://root@%s/defaultdb?sslmode=disable", loopback(p.layout.Database))}
	for n, region := range ident.Regions() {
		node := &child{name: "database-" + string(region), program: program, args: cockroachArgs(p.path("cockroach"), p.layout.Database, n), logs: p.path("logs")}
		if err := node.start(p.ended); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.nodes = append(c.nodes, node)
	}
	ctx, cancel := context.WithTimeout(ctx, cockroachWait)
	defer cancel()
	if err := c.initialise(ctx, program, loopback(p.layout.Database)); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// initialise makes the nodes one cluster, the first time, and waits until it answers.
func (c *cockroach) initialise(ctx context.Context, program, address string) error {
	for {
		out, err := exec.CommandContext(ctx, program, "init", "--insecure", "--host="+address).CombinedOutput()
		if err == nil || strings.Contains(string(out), "already been initialized") {
			db, openErr := sqldb.Open(ctx, sqldb.Config{URL: c.url, Database: sqldb.Any, KeepDatabase: true, MaxConns: 1})
			if openErr == nil {
				db.Close()
				return nil
			}
			err = openErr
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("the CockroachDB cluster does not come up: %w: %s", err, strings.TrimSpace(string(out)))
		case <-timer.C:
		}
	}
}

// URL implements database.
func (c *cockroach) URL() string { return c.url }

// Stop implements database.
func (c *cockroach) Stop() error {
	var failures []error
	for _, n := range c.nodes {
		failures = append(failures, n.stop())
	}
	return errors.Join(failures...)
}

// Status implements database.
func (c *cockroach) Status() []Status {
	var all []Status
	for _, n := range c.nodes {
		pid, running := n.running()
		all = append(all, Status{Name: n.name, PID: pid, Running: running, Ready: running, Log: n.logFile()})
	}
	return all
}
