package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// How a broker is made unreachable.
const (
	// Hang stops its process: connections stay open and nothing is answered, as on a link that swallows everything.
	Hang = "hang"
	// Kill ends it: connections break, and further ones are refused.
	Kill = "kill"
)

// BrokerConfig of the drill of a broker that cannot be reached.
type BrokerConfig struct {
	// Dir of the platform that it is done to.
	Dir string
	// Region whose broker it is.
	Region ident.Region
	// How: Hang or Kill.
	How string
	// For is how long the broker is away.
	For time.Duration
	// Shoppers at once.
	Shoppers int
	// Seed of what they ask for.
	Seed uint64
	// Lag of all outboxes now, and an Audit of all promises: the sentences of those that are broken.
	Lag   func(context.Context) (Backlog, error)
	Audit func(context.Context) ([]string, error)
	// Progress is told what goes on; may be nil.
	Progress func(string)
}

const (
	// leastAround and mostAround bound the time before the cut and after it: long enough to see what is usual, short enough
	// that a drill is about the cut.
	leastAround, mostAround = 3 * time.Second, 10 * time.Second
	// lagEvery is how often it is asked what waits: the question is a count in each region's databases.
	lagEvery = 500 * time.Millisecond
	// drainLimit bounds the wait for the backlog: clients of a broker that comes back look for it every few seconds.
	drainLimit = 2 * time.Minute
	// shipLimit bounds the wait for the parcels of the orders that were placed.
	shipLimit = 2 * time.Minute
	// takeLimit bounds the taking away: a signal, or a word to the platform that sends one.
	takeLimit = 10 * time.Second
	// returnLimit bounds the giving back, which is done whatever becomes of the drill.
	returnLimit = 2 * time.Minute
	// patience of a shopper with one order.
	patience = 30 * time.Second
)

// Broker makes the broker of a region unreachable under shoppers, gives it back, and reports what that did. An error means that
// the drill could not be done, or was interrupted; the broker serves again in any case, or the error says that it does not.
func Broker(ctx context.Context, cfg BrokerConfig) (Report, error) {
	d := &brokerDrill{cfg: cfg, name: "broker-" + string(cfg.Region), tally: newTally()}
	var err error
	if d.remote, err = platform.Connect(cfg.Dir); err != nil {
		return Report{}, err
	}
	info, err := d.remote.Info(ctx)
	if err != nil {
		return Report{}, err
	}
	for _, r := range platform.NewLayout(info.PortOffset).Routers {
		d.routers = append(d.routers, "http://"+r.Listen)
	}
	d.report = Report{
		Drill: "broker", Region: string(cfg.Region), How: cfg.How, Shoppers: cfg.Shoppers,
		Hypothesis: "no checkout fails; orders are planned around the region as soon as its events have waited too long, and those that wait are all delivered once its broker is back; no promise breaks",
	}
	if err := d.run(ctx); err != nil {
		return Report{}, err
	}
	d.say("auditing")
	broken, err := cfg.Audit(ctx)
	if err != nil {
		return Report{}, err
	}
	d.report.Broken = append(d.report.Broken, broken...)
	d.report.judge()
	return d.report, nil
}

// brokerDrill under way.
type brokerDrill struct {
	cfg     BrokerConfig
	name    string // of the process
	remote  *platform.Remote
	routers []string
	tally   *tally
	report  Report
	// cut and back are when the broker went away, and when it had been given back.
	cut, back time.Time
}

func (d *brokerDrill) say(format string, args ...any) {
	if d.cfg.Progress != nil {
		d.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

// run the phases under shoppers, and look at what they have ordered.
func (d *brokerDrill) run(ctx context.Context) error {
	stop := make(chan struct{})
	shopping, leave := context.WithCancel(ctx)
	defer leave()
	var wg sync.WaitGroup
	var played shop.Report
	var playing error
	wg.Go(func() {
		played, playing = shop.Run(shopping, shop.Config{
			Routers: d.routers, Shoppers: d.cfg.Shoppers, Orders: math.MaxInt32, Seed: d.cfg.Seed, Patience: patience,
			Stop: stop, Observe: d.tally.call, Placed: d.tally.placed,
		})
	})
	err := d.phases(ctx)
	close(stop)
	if err != nil {
		leave() // nobody waits for what they still want
	}
	wg.Wait()
	if err := errors.Join(err, playing); err != nil {
		return err
	}
	d.report.Phases = d.tally.phases()
	d.report.unresolved(played)
	d.say("looking at %d orders", len(d.tally.orders))
	return d.lookAtOrders(ctx)
}

func (d *brokerDrill) phases(ctx context.Context) error {
	around := min(max(d.cfg.For/2, leastAround), mostAround)
	d.say("%d shoppers for %s, before", d.cfg.Shoppers, around)
	d.tally.enter(Before)
	if err := rest(ctx, around); err != nil {
		return err
	}
	d.say("%s is away for %s (%s)", d.name, d.cfg.For, d.cfg.How)
	if err := d.away(ctx); err != nil {
		return err
	}
	d.say("%s is back: %d events wait for %s", d.name, d.report.Backlog.Events, d.cfg.Region)
	d.tally.enter(After)
	if err := d.drain(ctx); err != nil {
		return err
	}
	defer d.tally.enter("")
	return rest(ctx, around-time.Since(d.back))
}

// away: the broker cannot be reached for as long as it is to be, and is given back however that ends.
func (d *brokerDrill) away(ctx context.Context) (err error) {
	taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeLimit) // an interruption must not leave it open whether it is away
	giveBack, err := d.take(taking)
	cancel()
	if err != nil {
		return err
	}
	d.cut = time.Now()
	d.tally.enter(During)
	defer func() {
		returning, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnLimit)
		defer cancel()
		if back := giveBack(returning); back != nil {
			err = errors.Join(err, fmt.Errorf("chaos: %s is not given back: %w; `cellctl kill %s` and `cellctl restart %s` start it anew", d.name, back, d.name, d.name))
		}
		d.back = time.Now()
		d.report.CutSeconds = d.back.Sub(d.cut).Seconds()
	}()
	if err := rest(ctx, d.cfg.For); err != nil {
		return err
	}
	lag, err := d.cfg.Lag(ctx)
	if err != nil {
		return err
	}
	d.report.Backlog = lag.For(d.cfg.Region)
	d.report.Elsewhere = lag.Except(d.cfg.Region)
	return nil
}

// take the broker away; the function gives it back.
func (d *brokerDrill) take(ctx context.Context) (giveBack func(context.Context) error, err error) {
	if d.cfg.How == Kill {
		return func(ctx context.Context) error { return d.remote.Restart(ctx, d.name) }, d.remote.Kill(ctx, d.name)
	}
	all, err := d.remote.Status(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(s platform.Status) bool { return s.Name == d.name && s.Running })
	if at < 0 {
		return nil, fmt.Errorf("chaos: %s does not run", d.name)
	}
	pid := all[at].PID
	return func(context.Context) error { return syscall.Kill(pid, syscall.SIGCONT) }, syscall.Kill(pid, syscall.SIGSTOP)
}

// drain waits until nothing waits for the region that was already waiting when its broker came back: shoppers go on, so there
// is always something.
func (d *brokerDrill) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for {
		lag, err := d.cfg.Lag(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		left := lag.For(d.cfg.Region)
		if err == nil && (left.Events == 0 || left.Oldest.After(d.back)) {
			d.report.Drained, d.report.DrainSeconds = true, time.Since(d.back).Seconds()
			return nil
		}
		if err := rest(ctx, lagEvery); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil // the report says that it is not drained
			}
			return err
		}
	}
}

// rest for a while, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	if err := (clock.System{}).Sleep(ctx, d); err != nil {
		return err
	}
	return ctx.Err() // also when both are over
}
