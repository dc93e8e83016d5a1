package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

// EvacuateConfig of the bench of evacuations.
type EvacuateConfig struct {
	// Rounds of a healthy, a hung and a killed cell each.
	Rounds int
	// Seconds after which no other case is begun; the one under way ends.
	Seconds float64
	// Shoppers at once: a load that the machine holds, or what is measured is its queues.
	Shoppers int
	// Running is the directory of a platform that runs already; empty starts a private one, of BinDir's programs, with its
	// ports moved by PortOffset.
	Running    string
	BinDir     string
	PortOffset int
	// Audit of all promises, at the end: the sentences of those that are broken.
	Audit func(context.Context, platform.Info) ([]string, error)
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	// evacuateProducts in the private catalogue.
	evacuateProducts = 500
	evacuateSeed     = 1
	// evacuateLimit of the whole bench.
	evacuateLimit = 175 * time.Second
	// settle is how long shoppers are at it between two cases.
	settle = time.Second
	// hangFor before the command: long enough that requests wait for the cell.
	hangFor = 300 * time.Millisecond
	// moveLimit bounds the wait for the end of one move, on a busy machine.
	moveLimit = 45 * time.Second
)

// Cases in the order in which a round does them.
const (
	caseWell   = "well"
	caseHung   = "hung"
	caseKilled = "killed"
	caseAlone  = "without a control plane"
	caseNone   = "between"
)

// Evacuate measures evacuations under shoppers: of a cell that is well, of one that hangs (SIGSTOP) and of one that was killed,
// each undone again. What the control plane reports is set beside what callers of the cell see. Before that, shoppers are left
// without a control plane for a while.
func Evacuate(ctx context.Context, cfg EvacuateConfig) (r Report, err error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, evacuateLimit)
	defer cancel()
	b := &evacuateBench{cfg: cfg, begun: begun, report: Report{Name: "evacuate", Machine: machine(), Ratios: map[string]float64{}, Goals: map[string]Goal{}}}
	if cfg.Running == "" {
		b.say("starting a platform with %d products", evacuateProducts)
		dir, stop, started := private{binDir: cfg.BinDir, portOffset: cfg.PortOffset, products: evacuateProducts, seed: evacuateSeed}.start(ctx)
		defer func() { err = errors.Join(err, stop()) }()
		if started != nil {
			return r, started
		}
		b.cfg.Running = dir
	}
	if err := b.connect(ctx); err != nil {
		return r, err
	}
	load, err := b.startLoad(ctx)
	if err != nil {
		return r, err
	}
	if err = b.alone(ctx); err == nil {
		err = b.rounds(ctx)
	}
	if err = errors.Join(err, load()); err != nil {
		return r, err
	}
	broken, err := cfg.Audit(ctx, b.info)
	if err != nil {
		return r, err
	}
	b.judge(broken)
	b.report.Seconds = time.Since(begun).Seconds()
	return b.report, nil
}

// evacuateBench under way.
type evacuateBench struct {
	cfg    EvacuateConfig
	begun  time.Time
	report Report
	info   platform.Info
	remote *platform.Remote
	plane  topologyv1connect.TopologyServiceClient
	// victim is the cell that everything is done to, and slots what it owns of its region's ring.
	victim *topologyv1.Cell
	region ident.Region
	slots  map[ident.Slot]bool
	tally  *tally

	reported, observed, whole []time.Duration
	undone                    []time.Duration
	recovered                 []time.Duration
	late                      int // times that a cell wrote for a slot that it had lost
	// written tells what is in the cart of the customer who writes at the cell itself, by a router.
	written func(context.Context) (int64, error)
}

func (b *evacuateBench) say(format string, args ...any) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

// connect to the platform, and choose the cell: the first of the first region, as the map has it now.
func (b *evacuateBench) connect(ctx context.Context) (err error) {
	if b.remote, err = platform.Connect(b.cfg.Running); err != nil {
		return err
	}
	if b.info, err = b.remote.Info(ctx); err != nil {
		return err
	}
	key, err := secret.Read(b.info.PeerKey)
	if err != nil {
		return err
	}
	b.plane = topologyv1connect.NewTopologyServiceClient(rpc.Peer(key, nil), "http://"+firstOf(b.info.ControlPlane), rpc.ClientOptions()...)
	m, err := b.plane.GetMap(ctx, &topologyv1.GetMapRequest{})
	if err != nil {
		return fmt.Errorf("bench: the map: %w", err)
	}
	b.region = ident.Regions()[0]
	at := slices.IndexFunc(m.GetMap().GetCells(), func(c *topologyv1.Cell) bool { return c.GetRegion() == string(b.region) && c.GetSlots() > 0 })
	if at < 0 {
		return fmt.Errorf("bench: no cell of %s owns anything", b.region)
	}
	b.victim, b.slots = m.GetMap().GetCells()[at], map[ident.Slot]bool{}
	for _, ring := range m.GetMap().GetRings() {
		for _, run := range ring.GetRuns() {
			for s := run.GetFromSlot(); ring.GetRegion() == string(b.region) && run.GetOwner() == b.victim.GetCellId() && s <= run.GetToSlot(); s++ {
				b.slots[ident.Slot(s)] = true
			}
		}
	}
	return nil
}

// rounds of the three cases, as long as there is time for another.
func (b *evacuateBench) rounds(ctx context.Context) error {
	for n := range b.cfg.Rounds {
		for _, c := range []struct {
			name string
			do   func(context.Context) error
		}{{caseWell, b.well}, {caseHung, b.hung}, {caseKilled, b.killed}} {
			if time.Since(b.begun).Seconds() > b.cfg.Seconds {
				return nil
			}
			b.say("round %d: %s is %s", n+1, b.victim.GetCellId(), c.name)
			b.tally.enter(c.name)
			if err := c.do(ctx); err != nil {
				return fmt.Errorf("bench: round %d, %s: %w", n+1, c.name, err)
			}
			if err := rest(ctx, settle); err != nil {
				return err
			}
			b.tally.enter(caseNone)
		}
	}
	return nil
}

// rest for a while; the context's error as soon as it ends.
func rest(ctx context.Context, d time.Duration) error { return clock.System{}.Sleep(ctx, d) }

func cause(reason string) *topologyv1.Cause { return &topologyv1.Cause{Who: "bench", Reason: reason} }

// well: the cell is evacuated while it serves, and gets everything back.
func (b *evacuateBench) well(ctx context.Context) error {
	if err := b.evacuate(ctx, true); err != nil {
		return err
	}
	return b.undo(ctx)
}

// hung: the cell is stopped as by a debugger, evacuated, and wakes up when all is over.
func (b *evacuateBench) hung(ctx context.Context) error {
	if _, err := b.plane.SetAutomation(ctx, &topologyv1.SetAutomationRequest{Cause: cause("the command is measured")}); err != nil {
		return err
	}
	pid, err := b.pid(ctx)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the cell: %w", err)
	}
	err = rest(ctx, hangFor)
	if err == nil {
		err = b.evacuate(ctx, false)
	}
	var before, after int64
	if err == nil {
		before, err = b.written(ctx)
	}
	if err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)); err != nil {
		return err
	}
	// What waited for it is done now, and must not be. The answer to what it had committed before it hung may still come.
	if err := rest(ctx, hangFor); err != nil {
		return err
	}
	if after, err = b.written(ctx); err != nil {
		return err
	}
	if after != before {
		b.late++
	}
	_, err = b.plane.SetAutomation(ctx, &topologyv1.SetAutomationRequest{Enabled: true, Cause: cause("the command was measured")})
	return errors.Join(err, b.undo(ctx))
}

// killed: the cell is gone at once; the control plane evacuates it by itself, and it comes back.
func (b *evacuateBench) killed(ctx context.Context) error {
	at := time.Now()
	if err := b.remote.Kill(ctx, "cell-"+b.victim.GetCellId()); err != nil {
		return err
	}
	served, err := b.tally.awaitServed(ctx, at)
	if err != nil {
		return err
	}
	b.recovered = append(b.recovered, served...)
	if err := b.remote.Restart(ctx, "cell-"+b.victim.GetCellId()); err != nil {
		return err
	}
	return b.undo(ctx)
}

func (b *evacuateBench) pid(ctx context.Context) (int, error) {
	all, err := b.remote.Status(ctx)
	for _, s := range all {
		if s.Name == "cell-"+b.victim.GetCellId() && s.Running {
			return s.PID, nil
		}
	}
	return 0, errors.Join(err, fmt.Errorf("%s does not run", b.victim.GetCellId()))
}

// evacuate by command. Direct tells that somebody writes at the cell itself meanwhile, whose last success is a second measure
// of when the cell could write no more.
func (b *evacuateBench) evacuate(ctx context.Context, direct bool) error {
	began := time.Now()
	plan, err := b.plane.PlanEvacuation(ctx, &topologyv1.PlanEvacuationRequest{CellId: b.victim.GetCellId()})
	if err != nil {
		return err
	}
	started, err := b.plane.StartEvacuation(ctx, &topologyv1.StartEvacuationRequest{
		CellId: b.victim.GetCellId(), PlanHash: plan.GetPlan().GetHash(), Cause: cause("measured"), ExpiresIn: durationpb.New(time.Hour), OverCapacity: true,
	})
	if err != nil {
		return err
	}
	e, err := b.end(ctx, started.GetEvacuation().GetEvacuationId())
	if err != nil {
		return err
	}
	b.reported = append(b.reported, e.GetStartedAt().AsTime().Sub(began)+e.GetLastOldWrite().AsDuration())
	b.whole = append(b.whole, e.GetEndedAt().AsTime().Sub(began))
	if last := b.tally.lastDirect(); direct && last.After(began) {
		b.observed = append(b.observed, last.Sub(began))
	}
	return nil
}

// undo the newest evacuation of the cell, which may be the control plane's own.
func (b *evacuateBench) undo(ctx context.Context) error {
	all, err := b.plane.ListEvacuations(ctx, &topologyv1.ListEvacuationsRequest{})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all.GetEvacuations(), func(e *topologyv1.Evacuation) bool {
		return e.GetKind() == topologyv1.EvacuationKind_EVACUATION_KIND_EVACUATION && slices.Contains(e.GetPlan().GetCells(), b.victim.GetCellId())
	})
	if at < 0 {
		return fmt.Errorf("nobody has evacuated %s", b.victim.GetCellId())
	}
	id := all.GetEvacuations()[at].GetEvacuationId()
	if _, err := b.end(ctx, id); err != nil {
		return err
	}
	return b.undoWhenServing(ctx, id)
}

// undoWhenServing: the control plane gives slots back to a cell only once it has seen it serve.
func (b *evacuateBench) undoWhenServing(ctx context.Context, id string) error {
	late := time.Now().Add(moveLimit)
	for {
		began := time.Now()
		back, err := b.plane.UndoEvacuation(ctx, &topologyv1.UndoEvacuationRequest{EvacuationId: id, Cause: cause("measured")})
		if err != nil && time.Now().Before(late) {
			if err := rest(ctx, settle/4); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		e, err := b.end(ctx, back.GetUndo().GetEvacuationId())
		if err == nil {
			b.undone = append(b.undone, e.GetStartedAt().AsTime().Sub(began)+e.GetLastOldWrite().AsDuration())
		}
		return err
	}
}

// end of a move. An error when it ends otherwise than done, or with something that does not hold.
func (b *evacuateBench) end(ctx context.Context, id string) (*topologyv1.Evacuation, error) {
	ctx, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	for {
		resp, err := b.plane.GetEvacuation(ctx, &topologyv1.GetEvacuationRequest{EvacuationId: id})
		if err != nil {
			return nil, err
		}
		e := resp.GetEvacuation()
		if e.GetEndedAt() == nil {
			if err := rest(ctx, 20*time.Millisecond); err != nil {
				return nil, fmt.Errorf("%s is still %s, %s: %w", id, e.GetState(), e.GetTrouble(), err)
			}
			continue
		}
		for _, f := range e.GetFindings() {
			if !f.GetHolds() && f.GetName() != "converged" { // a cell that hangs or is gone has no new map
				b.tally.note(fmt.Sprintf("%s: %s: %s", id, f.GetName(), f.GetText()))
			}
		}
		return e, nil
	}
}
