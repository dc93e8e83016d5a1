package recovery

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const why = "the carrier answers again"

func TestWhatIsShownOfASagaHasNothingPersonal(t *testing.T) {
	r := newRegion(t)
	id := r.parked()
	resp, err := r.cells["b"].GetSaga(t.Context(), &recoveryv1.GetSagaRequest{SagaId: id})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(resp.GetState(), "secret") {
		t.Errorf("it shows %s", resp.GetState())
	}
	for _, want := range []string{id, "KETTLE", `"regionCode"`} {
		if !strings.Contains(resp.GetState(), want) {
			t.Errorf("%s is left out of %s", want, resp.GetState())
		}
	}
	s := resp.GetSaga()
	if s.GetStatus() != recoveryv1.Status_STATUS_PARKED || s.GetParkedFrom() != recoveryv1.Status_STATUS_RUNNING || s.GetStep() != "give" || s.GetTries() != 1 ||
		s.GetLastError() != "INTERNAL" || s.GetHeldBy() != "a" || s.GetRing() != string(home) {
		t.Errorf("got %v", s)
	}
}

func TestSagasAreListedByStatusAndKind(t *testing.T) {
	r := newRegion(t)
	id := r.parked()
	demo, err := r.cells["a"].BeginDemo(t.Context(), &recoveryv1.BeginDemoRequest{})
	r.must(err)
	for _, c := range []struct {
		status recoveryv1.Status
		kind   string
		want   []string
	}{
		{recoveryv1.Status_STATUS_UNSPECIFIED, "", []string{id}},
		{recoveryv1.Status_STATUS_PARKED, "sale", []string{id}},
		{recoveryv1.Status_STATUS_PARKED, "demo", nil},
		{recoveryv1.Status_STATUS_RUNNING, "", []string{demo.GetSaga().GetSagaId()}},
		{recoveryv1.Status_STATUS_UNDOING, "", nil},
	} {
		resp, err := r.cells["b"].ListSagas(t.Context(), &recoveryv1.ListSagasRequest{Ring: string(home), Status: c.status, Kind: c.kind})
		r.must(err)
		var got []string
		for _, s := range resp.GetSagas() {
			got = append(got, s.GetSagaId())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %q: got %v, want %v", c.status, c.kind, got, c.want)
		}
	}
	for _, wrong := range []*recoveryv1.ListSagasRequest{{Ring: "nowhere"}, {Ring: string(home), Status: recoveryv1.Status_STATUS_DONE}} {
		if _, err := r.cells["a"].ListSagas(t.Context(), wrong); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

func TestACommandIsTakenToTheOwner(t *testing.T) {
	r := newRegion(t)
	id := r.parked()
	r.broken = nil
	resp, err := r.cells["b"].RetrySaga(t.Context(), &recoveryv1.RetrySagaRequest{SagaId: id, Reason: why})
	if err != nil || resp.GetSaga().GetStatus() != recoveryv1.Status_STATUS_RUNNING || !strings.Contains(resp.GetSaga().GetNotes(), why) {
		t.Errorf("%v, %v", resp, err)
	}
	if !slices.Equal(r.asked, []string{"a"}) {
		t.Errorf("asked were %v", r.asked)
	}
	if n, err := r.shop["a"].Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("took %d, %v", n, err)
	}
	if got := r.status(id); got != recoveryv1.Status_STATUS_DONE {
		t.Errorf("it is %s", got)
	}
}

// The map may be behind the database, whose word counts; a command goes round no circle.
func TestACommandFollowsTheDatabaseAndIsPassedOnOnce(t *testing.T) {
	r := newRegion(t)
	id := r.parked()
	if _, err := fence.Move(t.Context(), r.db, home, "a", "b", r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.cells["a"].RetrySaga(t.Context(), &recoveryv1.RetrySagaRequest{SagaId: id, Reason: why, Forwarded: true}); !problem.Is(err, fence.ReasonWrongCell) {
		t.Errorf("passed on already: %v", err)
	}
	if got := r.status(id); got != recoveryv1.Status_STATUS_PARKED {
		t.Errorf("it is %s", got)
	}
	// The map still says a, which knows better once it has tried: b takes the command from there, by the row.
	if _, err := r.cells["a"].RetrySaga(t.Context(), &recoveryv1.RetrySagaRequest{SagaId: id, Reason: why}); err != nil {
		t.Error(err)
	}
	if got := r.status(id); got != recoveryv1.Status_STATUS_RUNNING {
		t.Errorf("it is %s", got)
	}
}

func TestWhatCannotBeDecidedIsRefusedWithItsReason(t *testing.T) {
	r := newRegion(t)
	id := r.parked()
	a, ctx := r.cells["a"], t.Context()
	undo := func(id, reason string) error {
		_, err := a.UndoSaga(ctx, &recoveryv1.UndoSagaRequest{SagaId: id, Reason: reason})
		return err
	}
	retry := func(id, reason string) error {
		_, err := a.RetrySaga(ctx, &recoveryv1.RetrySagaRequest{SagaId: id, Reason: reason})
		return err
	}
	release := func(id string) error {
		_, err := a.ReleaseDemo(ctx, &recoveryv1.ReleaseDemoRequest{SagaId: id})
		return err
	}
	r.must(r.db.ExecText(ctx, "INSERT INTO sagas SELECT region, 'foreign', 'of another release', customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at, epoch FROM sagas"))
	for reason, err := range map[string]error{
		"UNKNOWN_SAGA":            undo("nothing", why),
		"REASON_MISSING":          retry(id, " "),
		"PAST_POINT_OF_NO_RETURN": undo(id, why),
		"UNKNOWN_KIND":            retry("foreign", why),
		"NOT_A_DEMO":              release(id),
	} {
		if !problem.Is(err, reason) {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
	if resp, err := a.GetSaga(ctx, &recoveryv1.GetSagaRequest{SagaId: "foreign"}); err != nil || resp.GetState() != "" {
		t.Errorf("of another release: %v, %v", resp, err)
	}
}

// run the demos of a cell until the context ends, with time that flies.
func (r *region) run(cell string) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended, still := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); r.cells[cell].Run(ctx) }()
	go func() {
		defer close(still)
		for r.clock.AwaitSleepers(ctx, 1) == nil {
			r.clock.Advance(time.Second)
		}
	}()
	return func() { cancel(); <-ended; <-still }
}

func (r *region) await(id string, want recoveryv1.Status) {
	r.t.Helper()
	for r.status(id) != want {
		if r.t.Context().Err() != nil {
			r.t.Fatalf("%s never is %s", id, want)
		}
	}
}

func TestADemoWaitsUntilItIsReleasedWhicheverCellRunsIt(t *testing.T) {
	r := newRegion(t)
	stop := r.run("a")
	resp, err := r.cells["a"].BeginDemo(t.Context(), &recoveryv1.BeginDemoRequest{})
	r.must(err)
	id := resp.GetSaga().GetSagaId()
	look := func() *recoveryv1.Saga {
		got, err := r.cells["b"].GetSaga(t.Context(), &recoveryv1.GetSagaRequest{SagaId: id})
		r.must(err)
		return got.GetSaga()
	}
	for look().GetStep() != "wait" { // its run has begun
	}
	for begun := r.clock.Now(); r.clock.Now().Sub(begun) < time.Minute; { // far longer than a run may be silent
		if s := look(); s.GetStatus() != recoveryv1.Status_STATUS_RUNNING || s.GetHeldBy() != "a" {
			t.Fatalf("got %v", s)
		}
	}
	stop() // the cell dies
	if _, err := fence.Move(t.Context(), r.db, home, "a", "b", r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	r.owner = "b"
	defer r.run("b")()
	for look().GetHeldBy() != "b" {
	}
	for range 2 { // once is enough
		if _, err := r.cells["a"].ReleaseDemo(t.Context(), &recoveryv1.ReleaseDemoRequest{SagaId: id}); err != nil {
			t.Error(err)
		}
	}
	r.await(id, recoveryv1.Status_STATUS_DONE)
}

func TestADemoThatIsTakenBackEndsUndone(t *testing.T) {
	r := newRegion(t)
	defer r.run("a")()
	resp, err := r.cells["a"].BeginDemo(t.Context(), &recoveryv1.BeginDemoRequest{})
	r.must(err)
	id := resp.GetSaga().GetSagaId()
	if _, err := r.cells["b"].UndoSaga(t.Context(), &recoveryv1.UndoSagaRequest{SagaId: id, Reason: why}); err != nil {
		t.Error(err)
	}
	r.await(id, recoveryv1.Status_STATUS_UNDONE)
}

func TestAPoisonedDemoIsParkedUntilItIsReleasedAndPutBack(t *testing.T) {
	r := newRegion(t)
	defer r.run("a")()
	resp, err := r.cells["a"].BeginDemo(t.Context(), &recoveryv1.BeginDemoRequest{Poison: true})
	r.must(err)
	id := resp.GetSaga().GetSagaId()
	r.await(id, recoveryv1.Status_STATUS_PARKED)
	if _, err := r.cells["a"].ReleaseDemo(t.Context(), &recoveryv1.ReleaseDemoRequest{SagaId: id}); err != nil {
		t.Error(err)
	}
	if _, err := r.cells["a"].RetrySaga(t.Context(), &recoveryv1.RetrySagaRequest{SagaId: id, Reason: why}); err != nil {
		t.Error(err)
	}
	r.await(id, recoveryv1.Status_STATUS_DONE)
}
