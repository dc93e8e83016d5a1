package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Cost of one order, in the parts of the platform and at its borders. On a machine that others use, times say little; what
// was used says more.
type Cost struct {
	// Part of the platform, or what was counted.
	Part string `json:"part"`
	// CPUMS is milliseconds of processor, user and system, of all the part's processes.
	CPUMS float64 `json:"cpu_ms,omitempty"`
	// Switches of context, voluntary and not.
	Switches float64 `json:"switches,omitempty"`
	// Count of what is counted by number.
	Count float64 `json:"count,omitempty"`
	// AtRest is what a platform that has nothing to do uses in a second: milliseconds of processor, or a number. What an
	// order costs has its share of it.
	AtRest float64 `json:"at_rest_per_second,omitempty"`
}

// parts in the order in which they are shown.
var meteredParts = []string{"database", "cells", "routers", "brokers", "sandbox", "shoppers"}

// counted are what is told by number, in the order in which they are shown.
var counted = []string{"sql round trips", "sql statements", "sql commits", "wal kB", "wal syncs", "calls between processes"}

// reading of everything at one time.
type reading struct {
	at       time.Time
	cpu      map[string]time.Duration
	switches map[string]int64
	counts   map[string]float64
}

// meter reads what the processes of a platform have used.
type meter struct {
	platform *platform.Platform
	db       *sqldb.DB // cellar_customer
	regional *sqldb.DB
	http     *http.Client
}

// The server's own counters; its statistics are flushed by each session at most once a second.
var stmtServerCounts = sqldb.Define(sqldb.Any, "bench.server_counts", `
SELECT (SELECT sum(xact_commit)::float8 FROM pg_stat_database), wal_bytes::float8, wal_sync::float8
FROM pg_stat_wal`)

func newMeter(ctx context.Context, p *platform.Platform) (*meter, error) {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: p.DatabaseURL(), Database: sqldb.Customer, MaxConns: 1, ApplicationName: "cellctl bench"})
	if err != nil {
		return nil, err
	}
	regional, err := sqldb.Open(ctx, sqldb.Config{URL: p.DatabaseURL(), Database: sqldb.Regional, MaxConns: 1, ApplicationName: "cellctl bench"})
	if err != nil {
		db.Close()
		return nil, err
	}
	return &meter{platform: p, db: db, regional: regional, http: &http.Client{Timeout: 5 * time.Second}}, nil
}

func (m *meter) close() {
	m.db.Close()
	m.regional.Close()
}

// events of customers that wait, requests to ship that were ever sent, and parcels that the centres know of.
func (m *meter) events(ctx context.Context) (left, sent, parcels int64, err error) {
	if err = m.db.QueryRow(ctx, stmtEventsLeft).Scan(&left); err != nil {
		return left, sent, parcels, err
	}
	if err = m.db.QueryRow(ctx, stmtEventsSent).Scan(&sent); err != nil {
		return left, sent, parcels, err
	}
	return left, sent, parcels, m.regional.QueryRow(ctx, stmtParcels).Scan(&parcels)
}

func (m *meter) read(ctx context.Context) (reading, error) {
	r := reading{at: time.Now(), cpu: map[string]time.Duration{}, switches: map[string]int64{}, counts: map[string]float64{}}
	for _, s := range m.platform.Status(ctx) {
		part := partOf(s.Name)
		cpu, err := processCPU(s.PID)
		if err != nil {
			return r, err
		}
		r.cpu[part] += cpu
		r.switches[part] += processSwitches(s.PID)
		if part == "database" {
			for _, child := range childrenOf(s.PID) {
				cpu, err := processCPU(child)
				if errors.Is(err, os.ErrNotExist) {
					continue // it has ended, and counts with its parent
				}
				r.cpu[part] += cpu
				r.switches[part] += processSwitches(child)
			}
		}
	}
	self := os.Getpid()
	cpu, err := processCPU(self)
	if err != nil {
		return r, err
	}
	r.cpu["shoppers"], r.switches["shoppers"] = cpu, processSwitches(self)
	return r, m.readCounts(ctx, &r)
}

func (m *meter) readCounts(ctx context.Context, r *reading) error {
	var commits, bytes, syncs float64
	if err := m.db.QueryRow(ctx, stmtServerCounts).Scan(&commits, &bytes, &syncs); err != nil {
		return err
	}
	r.counts["sql commits"], r.counts["wal kB"], r.counts["wal syncs"] = commits, bytes/1024, syncs
	for _, c := range m.platform.Layout().Cells {
		if err := m.readMetrics(ctx, "http://"+c.Admin+"/metrics", r); err != nil {
			return err
		}
	}
	return nil
}

// metered are the cells' series, by the beginnings of their names.
var metered = map[string]string{
	"sql_round_trips_total{":                  "sql round trips",
	"sql_statements_total{":                   "sql statements",
	"rpc_server_call_duration_seconds_count{": "calls between processes",
}

func (m *meter) readMetrics(ctx context.Context, url string, r *reading) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return fmt.Errorf("bench: metrics: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, maxMetrics))
	for lines.Scan() {
		for prefix, name := range metered {
			if !strings.HasPrefix(lines.Text(), prefix) {
				continue
			}
			n, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
			if err != nil {
				return fmt.Errorf("bench: metrics: %w", err)
			}
			r.counts[name] += n
		}
	}
	return lines.Err()
}

// maxMetrics of one process: a cell has some hundred series.
const maxMetrics = 4 << 20

// costs of each of n orders: what was used between two readings. Before them the platform had rested.
func costs(resting, from, to reading, n int) []Cost {
	if n == 0 {
		return nil
	}
	rested := max(from.at.Sub(resting.at).Seconds(), 0.001)
	var all []Cost
	sum := Cost{Part: allParts}
	for _, part := range meteredParts {
		c := Cost{
			Part: part, CPUMS: (to.cpu[part] - from.cpu[part]).Seconds() * 1000 / float64(n), Switches: float64(to.switches[part]-from.switches[part]) / float64(n),
			AtRest: (from.cpu[part] - resting.cpu[part]).Seconds() * 1000 / rested,
		}
		all = append(all, c)
		sum.CPUMS, sum.Switches, sum.AtRest = sum.CPUMS+c.CPUMS, sum.Switches+c.Switches, sum.AtRest+c.AtRest
	}
	all = append(all, sum)
	for _, name := range counted {
		all = append(all, Cost{Part: name, Count: (to.counts[name] - from.counts[name]) / float64(n), AtRest: (from.counts[name] - resting.counts[name]) / rested})
	}
	return all
}

// allParts together.
const allParts = "all"

// partOf the platform that a process belongs to.
func partOf(process string) string {
	kind, _, _ := strings.Cut(process, "-")
	switch kind {
	case "cell", "router", "broker":
		return kind + "s"
	default:
		return kind
	}
}

// clockTick of /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = time.Second / 100

// processCPU is what a process and its children that have ended have used.
func processCPU(pid int) (time.Duration, error) {
	fields, err := procStat(pid)
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: times of process %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// procStat gives the fields of /proc/<pid>/stat from the state on: the name before it may have spaces.
func procStat(pid int) ([]string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, fmt.Errorf("bench: costs are read from Linux's /proc: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("bench: process %d: %d fields", pid, len(fields))
	}
	return fields, nil
}

// childrenOf a process that live.
func childrenOf(pid int) (all []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if fields, err := procStat(id); err == nil && fields[1] == strconv.Itoa(pid) {
			all = append(all, id)
		}
	}
	return all
}

// processSwitches of all threads that live.
func processSwitches(pid int) (n int64) {
	files, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "status"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
				count, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64) // the kernel writes numbers
				n += count
			}
		}
	}
	return n
}
