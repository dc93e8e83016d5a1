package cellctl

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// standIn is a control plane in memory: two cells of one region, and moves that take a few looks to be done. It judges nothing
// that the real one judges; what it is told is kept, so that a test can tell what a command asks for.
type standIn struct {
	topologyv1connect.UnimplementedTopologyServiceHandler

	mu    sync.Mutex
	m     *topologyv1.Map
	moves []*topologyv1.Evacuation // the newest first
	// refusal of plans; stuck moves never end.
	refusal, reason string
	stuck, broken   bool
	finding         string // that is broken
	leader          string // asks elsewhere when set
	automation      bool
	told            []string
	hash            string
}

func newStandIn() *standIn {
	return &standIn{automation: true, hash: "c0ffee", finding: "epochs", m: &topologyv1.Map{
		Version: 7,
		Cells: []*topologyv1.Cell{
			{CellId: "use1-a", Region: "us-east-1", State: topologyv1.CellState_CELL_STATE_ACTIVE, Weight: 100, Slots: 2048, PublicAddress: "127.0.0.1:8100"},
			{CellId: "use1-b", Region: "us-east-1", State: topologyv1.CellState_CELL_STATE_ACTIVE, Weight: 100, Slots: 2048, Capacity: 500, PublicAddress: "127.0.0.1:8101"},
		},
		Rings: []*topologyv1.Ring{{Region: "us-east-1", Runs: []*topologyv1.SlotRun{
			{FromSlot: 0, ToSlot: 99, Owner: "use1-a", Epoch: 1}, {FromSlot: 100, ToSlot: 2147, Owner: "use1-b", Epoch: 3}, {FromSlot: 2148, ToSlot: 4095, Owner: "use1-a", Epoch: 2},
		}}},
	}}
}

func (s *standIn) note(c *topologyv1.Cause, what string, args ...any) error {
	if s.leader != "" {
		return problem.New(problem.Unavailable, "NOT_LEADER", "ask "+s.leader, &problemv1.NotLeader{Leader: "other", Address: s.leader})
	}
	s.told = append(s.told, fmt.Sprintf(what, args...)+" by "+c.GetWho()+": "+c.GetReason())
	return nil
}

func (s *standIn) GetMap(_ context.Context, req *topologyv1.GetMapRequest) (*topologyv1.GetMapResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.GetVersion() > s.m.GetVersion() {
		return nil, problem.New(problem.NotFound, "UNKNOWN_VERSION", "there is no such map")
	}
	return &topologyv1.GetMapResponse{Map: s.m, Made: &topologyv1.MapVersion{Version: s.m.GetVersion(), Who: "ada", Reason: "two cells"}, SignedSnapshot: []byte("bytes")}, nil
}

func (s *standIn) ListMaps(context.Context, *topologyv1.ListMapsRequest) (*topologyv1.ListMapsResponse, error) {
	return &topologyv1.ListMapsResponse{Versions: []*topologyv1.MapVersion{{Version: 7, Who: "ada", Reason: "two cells"}, {Version: 5, Who: "ada", Reason: "one cell"}}}, nil
}

func (s *standIn) DiffMaps(_ context.Context, req *topologyv1.DiffMapsRequest) (*topologyv1.DiffMapsResponse, error) {
	return &topologyv1.DiffMapsResponse{Changes: []*topologyv1.MapChange{{Text: fmt.Sprintf("changes from %d to %d", req.GetFromVersion(), req.GetToVersion())}}}, nil
}

func (s *standIn) ListChanges(context.Context, *topologyv1.ListChangesRequest) (*topologyv1.ListChangesResponse, error) {
	return &topologyv1.ListChangesResponse{Changes: []*topologyv1.Change{{Action: "cell added", Subject: "use1-b", Who: "ada", Reason: "growth", MapVersion: 7}}}, nil
}

func (s *standIn) plan(cells ...string) *topologyv1.Plan {
	return &topologyv1.Plan{
		Hash: s.hash, Cells: cells, MapVersion: s.m.GetVersion(), Steps: []string{"mark", "flip"}, Slots: 2048, Customers: 1234, SagasInFlight: 1,
		Targets: []*topologyv1.Target{{CellId: "use1-b", Slots: 2048, SlotsAfter: 4096, Customers: 1234, LoadBefore: 10, LoadAfter: 21.5, Capacity: 500}},
		Refusal: s.refusal, RefusalReason: s.reason, Overrides: []string{"c-use1-x"},
	}
}

func (s *standIn) PlanEvacuation(_ context.Context, req *topologyv1.PlanEvacuationRequest) (*topologyv1.PlanEvacuationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.GetRegion() != "" {
		return &topologyv1.PlanEvacuationResponse{Plan: s.plan("use1-a", "use1-b")}, nil
	}
	return &topologyv1.PlanEvacuationResponse{Plan: s.plan(req.GetCellId())}, nil
}

// start a move; it has one phase more at each look.
func (s *standIn) start(kind topologyv1.EvacuationKind, p *topologyv1.Plan, c *topologyv1.Cause) *topologyv1.Evacuation {
	e := &topologyv1.Evacuation{
		EvacuationId: fmt.Sprintf("m-%d", len(s.moves)+1), Kind: kind, State: topologyv1.EvacuationState_EVACUATION_STATE_FLIPPING, Plan: p,
		Who: c.GetWho(), Reason: c.GetReason(), StartedAt: timestamppb.Now(),
	}
	s.moves = append([]*topologyv1.Evacuation{e}, s.moves...)
	return e
}

func (s *standIn) StartEvacuation(_ context.Context, req *topologyv1.StartEvacuationRequest) (*topologyv1.StartEvacuationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(req.GetCause(), "evacuate %s%s by plan %s for %s over %v", req.GetCellId(), req.GetRegion(), req.GetPlanHash(), req.GetExpiresIn().AsDuration(), req.GetOverCapacity()); err != nil {
		return nil, err
	}
	if req.GetPlanHash() != s.hash {
		return nil, problem.New(problem.Aborted, "PLAN_CHANGED", "look again")
	}
	return &topologyv1.StartEvacuationResponse{Evacuation: s.start(topologyv1.EvacuationKind_EVACUATION_KIND_EVACUATION, s.plan(req.GetCellId()), req.GetCause())}, nil
}

func (s *standIn) GetEvacuation(_ context.Context, req *topologyv1.GetEvacuationRequest) (*topologyv1.GetEvacuationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.moves, func(e *topologyv1.Evacuation) bool { return e.GetEvacuationId() == req.GetEvacuationId() })
	if at < 0 {
		return nil, problem.New(problem.NotFound, "UNKNOWN_MOVE", "there is none")
	}
	e := s.moves[at]
	if s.stuck {
		e.Trouble = "SLOTS_HELD: by somebody"
		return &topologyv1.GetEvacuationResponse{Evacuation: e}, nil
	}
	if len(e.GetPhases()) == 0 {
		e.Phases = append(e.Phases, &topologyv1.Phase{Name: "flip", Took: durationpb.New(123e6), Text: "flipped 2048 slots"})
	} else if e.GetEndedAt() == nil {
		e.State, e.EndedAt, e.SlotsMoved, e.LastOldWrite = topologyv1.EvacuationState_EVACUATION_STATE_DONE, timestamppb.Now(), 2048, durationpb.New(130e6)
		e.Findings = []*topologyv1.Finding{{Name: s.finding, Holds: !s.broken, Text: "all are newer"}}
	}
	return &topologyv1.GetEvacuationResponse{Evacuation: e}, nil
}

func (s *standIn) ListEvacuations(context.Context, *topologyv1.ListEvacuationsRequest) (*topologyv1.ListEvacuationsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.ListEvacuationsResponse{Evacuations: s.moves}, nil
}

func (s *standIn) AbortEvacuation(_ context.Context, req *topologyv1.AbortEvacuationRequest) (*topologyv1.AbortEvacuationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.moves[0]
	e.State, e.EndedAt = topologyv1.EvacuationState_EVACUATION_STATE_ABORTED, timestamppb.Now()
	return &topologyv1.AbortEvacuationResponse{Evacuation: e}, s.note(req.GetCause(), "abort %s", req.GetEvacuationId())
}

func (s *standIn) UndoEvacuation(_ context.Context, req *topologyv1.UndoEvacuationRequest) (*topologyv1.UndoEvacuationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(req.GetCause(), "undo %s", req.GetEvacuationId()); err != nil {
		return nil, err
	}
	return &topologyv1.UndoEvacuationResponse{Undo: s.start(topologyv1.EvacuationKind_EVACUATION_KIND_UNDO, s.plan("use1-b"), req.GetCause())}, nil
}

func (s *standIn) RevertMap(_ context.Context, req *topologyv1.RevertMapRequest) (*topologyv1.RevertMapResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(req.GetCause(), "revert to %d from %d", req.GetVersion(), req.GetCause().GetSeenVersion()); err != nil {
		return nil, err
	}
	return &topologyv1.RevertMapResponse{Move: s.start(topologyv1.EvacuationKind_EVACUATION_KIND_REVERT, s.plan(), req.GetCause())}, nil
}

func (s *standIn) AddCell(_ context.Context, req *topologyv1.AddCellRequest) (*topologyv1.AddCellResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.m.GetCells(), func(c *topologyv1.Cell) bool { return c.GetCellId() == req.GetCell().GetCellId() }) {
		return nil, problem.New(problem.AlreadyExists, "CELL_EXISTS", "there is one")
	}
	s.m.Cells = append(s.m.Cells, req.GetCell())
	return &topologyv1.AddCellResponse{Map: s.m}, s.note(req.GetCause(), "add %s to %s", req.GetCell().GetCellId(), req.GetCell().GetRegion())
}

func (s *standIn) SetWeight(_ context.Context, req *topologyv1.SetWeightRequest) (*topologyv1.SetWeightResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.SetWeightResponse{Map: s.m}, s.note(req.GetCause(), "weigh %s %d", req.GetCellId(), req.GetWeight())
}

func (s *standIn) SetState(_ context.Context, req *topologyv1.SetStateRequest) (*topologyv1.SetStateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.GetState() == topologyv1.CellState_CELL_STATE_QUARANTINED {
		return nil, problem.New(problem.Precondition, "CELL_OWNS_SLOTS", "evacuate it first")
	}
	return &topologyv1.SetStateResponse{Map: s.m}, s.note(req.GetCause(), "make %s %s from %d", req.GetCellId(), req.GetState(), req.GetCause().GetSeenVersion())
}

func (s *standIn) PlanRebalance(context.Context, *topologyv1.PlanRebalanceRequest) (*topologyv1.PlanRebalanceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.PlanRebalanceResponse{Plan: s.plan("use1-a")}, nil
}

func (s *standIn) StartRebalance(_ context.Context, req *topologyv1.StartRebalanceRequest) (*topologyv1.StartRebalanceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(req.GetCause(), "rebalance %s by plan %s", req.GetRegion(), req.GetPlanHash()); err != nil {
		return nil, err
	}
	return &topologyv1.StartRebalanceResponse{Move: s.start(topologyv1.EvacuationKind_EVACUATION_KIND_REBALANCE, s.plan("use1-a"), req.GetCause())}, nil
}

func (s *standIn) GetCustomer(_ context.Context, req *topologyv1.GetCustomerRequest) (*topologyv1.GetCustomerResponse, error) {
	if req.GetCustomerId() == "nobody" {
		return nil, problem.New(problem.Invalid, "INVALID_FIELDS", "customer_id: must be an id")
	}
	return &topologyv1.GetCustomerResponse{
		Ring: "us-east-1", Slot: 12, Epoch: 4, CellId: "use1-b", SlotOwner: "use1-a", Override: &topologyv1.Override{Who: "ada", Reason: "trouble", ExpiresAt: timestamppb.Now()},
	}, nil
}

func (s *standIn) SetOverride(_ context.Context, req *topologyv1.SetOverrideRequest) (*topologyv1.SetOverrideResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.SetOverrideResponse{Override: &topologyv1.Override{}}, s.note(req.GetCause(), "pin %s to %s for %s", req.GetCustomerId(), req.GetCellId(), req.GetExpiresIn().AsDuration())
}

func (s *standIn) RemoveOverride(_ context.Context, req *topologyv1.RemoveOverrideRequest) (*topologyv1.RemoveOverrideResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.RemoveOverrideResponse{}, s.note(req.GetCause(), "unpin %s", req.GetCustomerId())
}

func (s *standIn) GetAutomation(context.Context, *topologyv1.GetAutomationRequest) (*topologyv1.GetAutomationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &topologyv1.GetAutomationResponse{
		Enabled: s.automation, Who: "ada", Reason: "ready", Leader: "controlplane-1",
		Cells:   []*topologyv1.CellHealth{{CellId: "use1-a", Reporters: 3, FailingReporters: 2, FailingSince: timestamppb.Now(), Load: 12.5, Verdict: "it is gone"}, {CellId: "use1-b", Reporters: 3, ProbeHealthy: true, Verdict: "it serves"}},
		Routers: []*topologyv1.RouterHealth{{Reporter: "router-us-east-1", Region: "us-east-1", MapVersion: 7, ReportedAt: timestamppb.Now()}},
	}, nil
}

func (s *standIn) SetAutomation(_ context.Context, req *topologyv1.SetAutomationRequest) (*topologyv1.SetAutomationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.automation = req.GetEnabled()
	return &topologyv1.SetAutomationResponse{}, s.note(req.GetCause(), "automation %v", req.GetEnabled())
}

const testKey = "a-key-of-the-platform-of-32-bytes-or-more"

// serve the stand-in; gives its address, and the file of the platform's key.
func (s *standIn) serve(t *testing.T) (address, keyFile string) {
	t.Helper()
	keyFile = filepath.Join(t.TempDir(), "peer.key")
	if err := os.WriteFile(keyFile, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	path, handler := topologyv1connect.NewTopologyServiceHandler(s, rpc.HandlerOptions(slog.New(slog.DiscardHandler), telemetry.NewMetrics(nil))...)
	mux.Handle(path, rpc.Internal(testKey, handler))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), keyFile
}

// operator at a command line, with something typed.
type operator struct {
	t       *testing.T
	address string
	key     string
	typed   string
}

func (s *standIn) operator(t *testing.T) *operator {
	address, key := s.serve(t)
	return &operator{t: t, address: address, key: key}
}

// run a command; what it prints, what it says beside that, and how it ends.
func (o *operator) run(args ...string) (out, talk string, exit int) {
	o.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := New()
	cmd.SetIn(strings.NewReader(o.typed))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append(args, "--dir", o.t.TempDir(), "--control-plane", o.address, "--peer-key-file", o.key))
	err := cmd.ExecuteContext(o.t.Context())
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), Exit(err)
}

// expect a command to end so, and to say all of this on stdout, or beside it when it begins with "!".
func (o *operator) expect(exit int, args []string, says ...string) (out string) {
	o.t.Helper()
	out, talk, got := o.run(args...)
	if got != exit {
		o.t.Errorf("%v ends with %d, want %d\n%s\n%s", args, got, exit, out, talk)
	}
	for _, s := range says {
		where := out
		if beside, ok := strings.CutPrefix(s, "!"); ok {
			where, s = talk, beside
		}
		if !strings.Contains(where, s) {
			o.t.Errorf("%v does not say %q\n--- stdout\n%s\n--- stderr\n%s", args, s, out, talk)
		}
	}
	return out
}

func (s *standIn) heard(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.told, want) {
		t.Errorf("the control plane was told\n%s\nand not\n%s", strings.Join(s.told, "\n"), strings.Join(want, "\n"))
	}
	s.told = nil
}
