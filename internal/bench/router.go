package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/router"
)

// RouterConfig of the bench of the router.
type RouterConfig struct {
	// Seconds that each of the proxies is under load, in rounds.
	Seconds float64
	// BinDir has the platform's programs: the router and this one.
	BinDir string
	// Self is this program, whose hidden commands are the backend and one of the peers.
	Self string
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	// routerConns are kept open by shoppers.
	routerConns = 64
	// routerRounds in which the proxies take turns, so that a neighbour's moods meet all of them.
	routerRounds = 6
	// decisions in a row, so many times; the quickest counts, since nothing but the machine's other work makes one slower.
	decisions, decisionRuns = 20_000, 400
)

// Router measures the router between shoppers and a cell, beside nginx, HAProxy and a tuned httputil.ReverseProxy: each a
// process of its own before the same backend, in turns.
func Router(ctx context.Context, cfg RouterConfig) (r Report, err error) {
	begun := time.Now()
	dir, err := os.MkdirTemp("", "cellar-bench-")
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &routerBench{cfg: cfg, dir: dir, report: Report{Name: "router", Machine: machine(), Ratios: map[string]float64{}}}
	defer func() {
		for _, p := range b.running {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := b.startAll(ctx); err != nil {
		return r, err
	}
	if err := b.rounds(ctx); err != nil {
		return r, err
	}
	if err := b.decision(); err != nil {
		return r, err
	}
	b.report.Goals = map[string]Goal{
		"vs_nginx": atLeast(0.85), "vs_reverse_proxy": atLeast(1.7), "p99_vs_haproxy": atMost(1.3), "decision_ns": atMost(50), "decision_allocs": atMost(0),
	}
	b.report.Seconds = time.Since(begun).Seconds()
	return b.report, nil
}

type routerBench struct {
	cfg     RouterConfig
	dir     string
	backend string
	running []*proxy
	proxies []*proxy // those compared
	report  Report
}

func (b *routerBench) say(format string, args ...any) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

// startAll processes. A peer that is not installed is left out, with a row that says so.
func (b *routerBench) startAll(ctx context.Context) (err error) {
	if b.backend, err = freeAddress(ctx); err != nil {
		return err
	}
	backend, err := start(ctx, "backend", b.backend, filepath.Join(b.dir, "backend.log"), b.cfg.Self, "bench", "peer", "--listen", b.backend)
	if err != nil {
		return err
	}
	b.running = append(b.running, backend)
	for _, one := range []struct {
		name  string
		start func(context.Context) (*proxy, error)
	}{{"router", b.router}, {"nginx", b.nginx}, {"haproxy", b.haproxy}, {"reverse proxy", b.reverseProxy}} {
		p, err := one.start(ctx)
		if errors.Is(err, exec.ErrNotFound) {
			b.report.Rows = append(b.report.Rows, Row{Case: "1 KB", Callers: routerConns, Variant: one.name + " (not installed)"})
			continue
		}
		if err != nil {
			return err
		}
		b.running, b.proxies = append(b.running, p), append(b.proxies, p)
	}
	return nil
}

func (b *routerBench) router(ctx context.Context) (*proxy, error) {
	return startRouter(ctx, b.dir, b.cfg.BinDir, b.backend)
}

func (b *routerBench) nginx(ctx context.Context) (*proxy, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // its own user could not enter the bench's directory
	}
	conf := filepath.Join(b.dir, "nginx.conf")
	if err := fill(conf, nginxConf, "USER", user, "DIR", b.dir, "LISTEN", address, "BACKEND", b.backend); err != nil {
		return nil, err
	}
	return start(ctx, "nginx", address, filepath.Join(b.dir, "nginx.log"), program, "-e", filepath.Join(b.dir, "nginx.err"), "-p", b.dir, "-c", conf)
}

func (b *routerBench) haproxy(ctx context.Context) (*proxy, error) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(b.dir, "haproxy.conf")
	if err := fill(conf, haproxyConf, "CORES", strconv.Itoa(runtime.NumCPU()), "LISTEN", address, "BACKEND", b.backend); err != nil {
		return nil, err
	}
	return start(ctx, "haproxy", address, filepath.Join(b.dir, "haproxy.log"), program, "-db", "-f", conf)
}

func (b *routerBench) reverseProxy(ctx context.Context) (*proxy, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return start(ctx, "reverse proxy", address, filepath.Join(b.dir, "reverse-proxy.log"), b.cfg.Self, "bench", "peer", "--listen", address, "--upstream", b.backend)
}

// shoppers' requests: each a customer of its own, with what a browser sends.
func shoppers() [][]byte {
	var all [][]byte
	for range routerConns {
		all = append(all, []byte("GET /cellar.cart.v1.CartService/GetCart?encoding=json&message=%7B%7D HTTP/1.1\r\nHost: shop.example\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: application/json\r\nAccept-Language: en-US,en;q=0.7\r\n"+
			"Accept-Encoding: gzip, deflate, br\r\nReferer: http://shop.example/cart\r\n"+
			"Cookie: theme=dark; cellar_session=v1."+string(ident.NewCustomer("use1"))+"."+ident.NewToken()+".1900000000.c2lnbmF0dXJlLXRoYXQtbm9ib2R5LWxvb2tzLWF0LWhlcmU\r\n\r\n"))
	}
	return all
}

// rounds of load, each proxy in each; the order turns.
func (b *routerBench) rounds(ctx context.Context) error {
	requests := shoppers()
	lasts := time.Duration(b.cfg.Seconds / routerRounds * float64(time.Second))
	rates, p99s := map[string][]float64{}, map[string][]float64{}
	latencies, took := map[string][]time.Duration{}, map[string]time.Duration{}
	for _, p := range b.proxies { // warm
		if _, _, err := httpLoad(ctx, p.address, requests, lasts/4); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for n := range routerRounds {
		b.say("round %d of %d", n+1, routerRounds)
		for i := range b.proxies {
			p := b.proxies[(i+n)%len(b.proxies)]
			all, lasted, err := httpLoad(ctx, p.address, requests, lasts)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			one := row("", routerConns, p.name, lasted, all)
			rates[p.name], p99s[p.name] = append(rates[p.name], one.PerSecond), append(p99s[p.name], one.P99MS)
			latencies[p.name], took[p.name] = append(latencies[p.name], all...), took[p.name]+lasted
		}
	}
	for _, p := range b.proxies {
		b.report.Rows = append(b.report.Rows, row("1 KB", routerConns, p.name, took[p.name], latencies[p.name]))
	}
	for metric, of := range map[string]struct {
		peer   string
		values map[string][]float64
	}{"vs_nginx": {"nginx", rates}, "vs_reverse_proxy": {"reverse proxy", rates}, "vs_haproxy": {"haproxy", rates}, "p99_vs_haproxy": {"haproxy", p99s}, "p99_vs_nginx": {"nginx", p99s}} {
		if peer := of.values[of.peer]; len(peer) > 0 {
			b.report.Ratios[metric] = medianRatio(of.values["router"], peer)
		}
	}
	return nil
}

// medianRatio of two series, round by round.
func medianRatio(ours, peers []float64) float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / peers[i]
	}
	slices.Sort(ratios)
	return (ratios[(len(ratios)-1)/2] + ratios[len(ratios)/2]) / 2
}

// decision measures the look-up by itself, in this process: from the session's cookie to the cell.
func (b *routerBench) decision() error {
	b.say("the decision")
	m, err := mapOf(b.backend)
	if err != nil {
		return err
	}
	maps := &topology.Holder{}
	maps.Offer(m)
	r := router.New(router.Deps{Region: home, Maps: maps, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	var cookies []string
	for range 1024 {
		cookies = append(cookies, "cellar_session=v1."+string(ident.NewCustomer("use1"))+"."+ident.NewToken()+".1900000000.c2lnbmF0dXJl")
	}
	var times []float64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range decisionRuns {
		begun := time.Now()
		for i := range decisions {
			if r.Decide("", cookies[i%len(cookies)]) == "" {
				return errors.New("bench: a customer has no cell")
			}
		}
		times = append(times, float64(time.Since(begun).Nanoseconds())/decisions)
	}
	runtime.ReadMemStats(&after)
	b.report.Ratios["decision_ns"] = slices.Min(times)
	b.report.Ratios["decision_allocs"] = float64((after.Mallocs - before.Mallocs) / (decisionRuns * decisions))
	return nil
}
