package saga

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// A row that can be written once.
var stmtWith = sqldb.Define(sqldb.Customer, "saga_test.with", `
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
VALUES ($1, $2, 'with', $3, ''::bytea, '', now(), now())`)

var stmtWritten = sqldb.Define(sqldb.Customer, "saga_test.written", `
SELECT coalesce(string_agg(substr(key, length($2) + 1), ' ' ORDER BY key), '')
FROM idempotency_keys
WHERE region = $1 AND method = 'with' AND starts_with(key, $2)`)

// with a step's end a row goes that says so.
func (p *platform) with(d *Definition, id string, steps ...int) {
	for _, i := range steps {
		op := fence.NewOp("with", func(b *sqldb.Batch, ring ident.Region, keys []string) {
			for _, key := range keys {
				b.Queue(stmtWith, nil, string(ring), string(p.customer), key)
			}
		})
		d.Steps[i].With = func(proto.Message) ([]fence.Part, error) {
			return []fence.Part{op.Part(id + " " + d.Steps[i].Name)}, nil
		}
	}
}

// written with the ends of a saga's steps.
func (p *platform) written(id string) (steps string) {
	p.t.Helper()
	if err := p.db.QueryRow(p.t.Context(), stmtWritten, string(home), id+" ").Scan(&steps); err != nil {
		p.t.Fatal(err)
	}
	return steps
}

func TestWhatGoesWithAStepIsCommittedWithItsEnd(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := trip(w, "")
	p.with(d, "trip-1", 0, 2)
	w.after["do a"] = func(context.Context, int) error {
		if got := p.written("trip-1"); got != "" {
			t.Errorf("before the end of a there is %q", got)
		}
		return nil
	}
	w.before["do b"] = func(context.Context, int) error {
		p.expect("trip-1", Running, "b")
		if got := p.written("trip-1"); got != "a" {
			t.Errorf("after the end of a there is %q", got)
		}
		return nil
	}
	e := p.engine("use1-a", d)
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
	if got := p.written("trip-1"); got != "a c" {
		t.Errorf("in the end there is %q", got)
	}
}

func TestAStepWhoseCompanionCannotBeWrittenHasNotEnded(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := trip(w, "")
	p.with(d, "trip-1", 1)
	if _, err := p.db.Exec(t.Context(), stmtWith, string(home), string(p.customer), "trip-1 b"); err != nil { // the second is a duplicate
		t.Fatal(err)
	}
	e := p.engine("use1-a", d)
	_, _, err := e.Run(t.Context(), p.begin(e, "trip-1"))
	if _, taken := sqldb.UniqueViolation(err); !taken {
		t.Errorf("got %v", err)
	}
	p.expect("trip-1", Running, "b")

	cannot := errors.New("it cannot be told")
	d.Steps[1].With = func(proto.Message) ([]fence.Part, error) { return nil, cannot }
	p.clock.Advance(holdTime)
	if _, err := e.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	p.expect("trip-1", Running, "b")
}

func TestARunThatHasLostItsSagaWritesNothingWithTheEndOfAStep(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	frozen, thaw := make(chan struct{}), make(chan struct{})
	w.after["do b"] = func(_ context.Context, try int) error {
		if try == 1 {
			close(frozen)
			<-thaw
		}
		return nil
	}
	d := trip(w, "A")
	p.with(d, "trip-1", 1)
	first, second := p.engine("use1-a", d), p.engine("use1-b", trip(w, "B")) // the second writes nothing
	ticket := p.begin(first, "trip-1")
	lost := make(chan error, 1)
	go func() {
		_, _, err := first.Run(t.Context(), ticket)
		lost <- err
	}()
	<-frozen
	p.clock.Advance(holdTime)
	if n, err := second.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v", n, err)
	}
	close(thaw)
	if err := <-lost; !errors.Is(err, errLost) {
		t.Errorf("the first run ended with %v", err)
	}
	if got := p.written("trip-1"); got != "" {
		t.Errorf("it has written %q", got)
	}
	p.expect("trip-1", Done, "c")
}
