package stockroom

import (
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/fulfillment"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

func newRoom(t *testing.T) *Room {
	t.Helper()
	r := assemble(sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Regional), clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)))
	err := r.centers.OpenCenters(t.Context(), []fulfillment.Center{
		{ID: "iad1", Region: "us-east-1", Name: "Ashburn", City: "Ashburn", CountryCode: "US"},
		{ID: "sea1", Region: "us-west-2", Name: "Seattle", City: "Seattle", CountryCode: "US"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Room) receive(t *testing.T, text string) (Received, error) {
	t.Helper()
	deliveries, err := Parse(strings.NewReader("delivery_id,fc_id,sku,quantity\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return r.Receive(t.Context(), deliveries)
}

func TestADeliveryCountsOnceHoweverOftenItsFileComes(t *testing.T) {
	r := newRoom(t)
	const file = "d1,iad1,ale,3\nd1,sea1,ale,4\nd1,iad1,cider,5\n"
	for i, want := range []Received{{Lines: 3, Units: 12, Counted: 2}, {Lines: 3, Already: 2}} {
		if got, err := r.receive(t, file); err != nil || got != want {
			t.Errorf("the %d. time: %+v, %v", i+1, got, err)
		}
	}
	if found, err := r.Inconsistencies(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestAFileThatNamesAnUnknownCentreCountsNothing(t *testing.T) {
	r := newRoom(t)
	if got, err := r.receive(t, "d1,iad1,ale,3\nd2,nowhere,ale,4\n"); err == nil || got != (Received{}) || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := r.receive(t, "d1,iad1,ale,3\n"); err != nil || got.Units != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatHasDriftedIsPutRightInEveryRegion(t *testing.T) {
	r := newRoom(t)
	if _, err := r.receive(t, "d1,iad1,ale,3\nd1,sea1,ale,4\nd1,iad1,cider,5\n"); err != nil {
		t.Fatal(err)
	}
	if err := r.regional.ExecText(t.Context(), "UPDATE inventory SET available = available + 1 WHERE sku = 'ale'"); err != nil {
		t.Fatal(err)
	}
	found, err := r.Inconsistencies(t.Context())
	if err != nil || len(found) != 2 || found[0].Region != "us-east-1" || found[1].Region != "us-west-2" || found[0].Verdict != "drifted" {
		t.Fatalf("%+v, %v", found, err)
	}
	done, err := r.Compensate(t.Context())
	if err != nil || len(done) != 2 || done[0].Verdict != "corrected" || done[1].RightAvailable != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	if found, err = r.Inconsistencies(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestSummariesAreComparedForEveryPairOfRegions(t *testing.T) {
	r := newRoom(t)
	if _, err := r.receive(t, "d1,iad1,ale,3\n"); err != nil {
		t.Fatal(err)
	}
	if err := r.stock["us-east-1"].Summarize(t.Context(), []string{"ale"}); err != nil {
		t.Fatal(err)
	}
	all, err := r.Summaries(t.Context())
	if err != nil || len(all) != len(ident.Regions())*len(ident.Regions()) {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, s := range all {
		want := 0
		if s.Reader == "us-east-1" && s.Region == "us-east-1" {
			want = 1 // the others have not heard yet
		}
		if s.Bits != want || s.ErrorRate != 0 {
			t.Errorf("%+v", s)
		}
	}
}
