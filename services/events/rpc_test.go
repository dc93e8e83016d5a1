package events

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	home = ident.Region("us-east-1")
	west = ident.Region("us-west-2")
	why  = "the release that refused it is gone"
)

type world struct {
	*Service
	clock     *clock.Manual
	committed int
	buried    map[string]int
	lags      []FeedLag
	fails     error
}

// LetterBuried implements Observer.
func (w *world) LetterBuried(consumer string) { w.buried[consumer]++ }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)), buried: map[string]int{}}
	w.Service = New(Deps{
		Global: sqldbtest.New(t, sqldb.Global), Customers: sqldbtest.New(t, sqldb.Customer), Regional: sqldbtest.New(t, sqldb.Regional),
		Committed: func() { w.committed++ }, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Observe: w,
		Region: home, Feed: func(context.Context) ([]FeedLag, error) { return w.lags, w.fails },
	})
	return w
}

func dead(t *testing.T, id string) bus.DeadLetter {
	t.Helper()
	b, err := proto.Marshal(&orderv1.FulfillmentRequested{OrderId: "use1-7KQ2-M8XD", FcId: "ATL1", ShipTo: &postalv1.PostalAddress{
		Recipient: "Somebody secret", Lines: []string{"1 secret St"}, Locality: "secret town", RegionCode: "US"}})
	if err != nil {
		t.Fatal(err)
	}
	return bus.DeadLetter{Consumer: "fulfillment", Region: home, Reason: "it cannot be packed",
		Message: bus.Message{ID: id, Subject: "fulfillment.us-east-1.ATL1.requested", Data: b, Delivered: 14}}
}

func (w *world) bury(t *testing.T, d bus.DeadLetter) {
	t.Helper()
	if err := w.Bury(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second)
}

func (w *world) list(t *testing.T, region ident.Region, consumer string) []*eventsv1.DeadLetter {
	t.Helper()
	resp, err := w.ListDeadLetters(t.Context(), &eventsv1.ListDeadLettersRequest{Region: string(region), Consumer: consumer})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetLetters()
}

func TestADeadLetterIsListedAndShownWithoutWhatIsPersonal(t *testing.T) {
	w := newWorld(t)
	w.bury(t, dead(t, "order/a/requested"))
	w.bury(t, dead(t, "order/b/requested"))
	w.bury(t, dead(t, "order/a/requested")) // its acknowledgement was lost
	all := w.list(t, home, "")
	if len(all) != 2 || all[0].GetMessageId() != "order/a/requested" || all[1].GetMessageId() != "order/b/requested" || all[0].GetTries() != 14 ||
		all[0].GetReason() != "it cannot be packed" || w.buried["fulfillment"] != 3 {
		t.Errorf("got %v, %v", all, w.buried)
	}
	if len(w.list(t, home, "order")) != 0 || len(w.list(t, west, "")) != 0 || len(w.list(t, home, "fulfillment")) != 2 {
		t.Error("the list is not by region and consumer")
	}
	resp, err := w.GetDeadLetter(t.Context(), &eventsv1.GetDeadLetterRequest{Region: string(home), Consumer: "fulfillment", MessageId: "order/a/requested"})
	if err != nil || !strings.Contains(resp.GetEvent(), `"ATL1"`) || strings.Contains(resp.GetEvent(), "secret") {
		t.Errorf("it shows %v, %v", resp, err)
	}
	odd := dead(t, "odd")
	odd.Message.Data = []byte{0xff}
	w.bury(t, odd)
	resp, err = w.GetDeadLetter(t.Context(), &eventsv1.GetDeadLetterRequest{Region: string(home), Consumer: "fulfillment", MessageId: "odd"})
	if err != nil || resp.GetEvent() != "" {
		t.Errorf("what cannot be read: %v, %v", resp, err)
	}
}

// pending messages of the regional outbox.
func (w *world) pending(t *testing.T) (ids, subjects []string) {
	t.Helper()
	rows, err := w.deps.Regional.QueryText(t.Context(), "SELECT message_id, subject FROM outbox WHERE region = $1 AND published_at IS NULL ORDER BY id", string(home))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, subject string
		if err := rows.Scan(&id, &subject); err != nil {
			t.Fatal(err)
		}
		ids, subjects = append(ids, id), append(subjects, subject)
	}
	return ids, subjects
}

func TestAReplayTakesALetterToTheOutboxOnce(t *testing.T) {
	w := newWorld(t)
	d := dead(t, "order/a/requested")
	w.bury(t, d)
	req := &eventsv1.ReplayDeadLetterRequest{Region: string(home), Consumer: "fulfillment", MessageId: d.Message.ID, Reason: why}
	if _, err := w.ReplayDeadLetter(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReplayDeadLetter(t.Context(), req); !problem.Is(err, "UNKNOWN_DEAD_LETTER") {
		t.Errorf("a second time: %v", err)
	}
	ids, subjects := w.pending(t)
	if len(ids) != 1 || !strings.HasPrefix(ids[0], "replay/fulfillment/") || !strings.HasSuffix(ids[0], "/order/a/requested") || subjects[0] != d.Message.Subject || w.committed != 1 {
		t.Errorf("the outbox has %v %v; nudged %d times", ids, subjects, w.committed)
	}
	if left := w.list(t, home, ""); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	w.bury(t, d) // it fails again, and is replayed again: under another id, or the broker would drop it
	if _, err := w.ReplayDeadLetter(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if ids, _ := w.pending(t); len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("the outbox has %v", ids)
	}
}

func TestADroppedLetterIsGone(t *testing.T) {
	w := newWorld(t)
	w.bury(t, dead(t, "a"))
	req := &eventsv1.DropDeadLetterRequest{Region: string(home), Consumer: "fulfillment", MessageId: "a", Reason: why}
	if _, err := w.DropDeadLetter(t.Context(), req); err != nil || len(w.list(t, home, "")) != 0 {
		t.Errorf("%v", err)
	}
	if _, err := w.DropDeadLetter(t.Context(), req); !problem.Is(err, "UNKNOWN_DEAD_LETTER") {
		t.Errorf("a second time: %v", err)
	}
}

func TestWhatIsWrongWithARequestIsSaid(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	first := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"lag of nowhere":      first(w.GetLag(ctx, &eventsv1.GetLagRequest{Region: "nowhere"})),
		"letters of nowhere":  first(w.ListDeadLetters(ctx, &eventsv1.ListDeadLettersRequest{})),
		"replay to nowhere":   first(w.ReplayOutbox(ctx, &eventsv1.ReplayOutboxRequest{Region: string(home), Reason: why})),
		"replay of no reason": first(w.ReplayOutbox(ctx, &eventsv1.ReplayOutboxRequest{Region: string(home), Destination: string(home)})),
		"of the future":       first(w.ReplayOutbox(ctx, &eventsv1.ReplayOutboxRequest{Region: string(home), Destination: string(home), Reason: why, Since: timestamppb.New(w.clock.Now().Add(time.Hour))})),
		"a cursor":            first(w.ReplayOutbox(ctx, &eventsv1.ReplayOutboxRequest{Region: string(home), Destination: string(home), Reason: why, Cursor: "3/0/"})),
		"a drop of no reason": first(w.DropDeadLetter(ctx, &eventsv1.DropDeadLetterRequest{Region: string(home), Reason: " "})),
		"two lines":           first(w.ReplayDeadLetter(ctx, &eventsv1.ReplayDeadLetterRequest{Region: string(home), Reason: "a\nb"})),
	} {
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sent is a Publisher that acknowledges everything.
type sent struct{}

func (sent) Publish(context.Context, ident.Region, []bus.Message) error { return nil }

// Do implements outbox.Guard.
func (sent) Do(_ ident.Region, publish func() error) error { return publish() }

func TestAReplayGoesThroughEveryOutbox(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.clock.Advance(now.Sub(w.clock.Now()))
	for _, db := range w.outboxes() {
		err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
			e := outbox.Event{MessageID: "m", Key: "k", Subject: "order.use1.shipped", Destination: west, Raw: []byte("x")}
			other := e
			other.Destination, other.MessageID = home, "n"
			return outbox.Enqueue(t.Context(), tx, home, now, e, other)
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		relay := outbox.New(outbox.Deps{DB: db, Region: home, Cell: "a", Publisher: sent{}, Guard: sent{}, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
		done := make(chan struct{})
		go func() { defer close(done); relay.Run(ctx) }()
		tick := time.NewTicker(5 * time.Millisecond)
		for pending := int64(1); pending > 0; <-tick.C {
			if pending, _, err = relay.Lag(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tick.Stop()
		stop()
		<-done
	}
	w.clock.Advance(time.Hour)
	req := &eventsv1.ReplayOutboxRequest{Region: string(home), Destination: string(west), Reason: why}
	var events int64
	for calls := 0; ; calls++ {
		resp, err := w.ReplayOutbox(t.Context(), req)
		if err != nil || calls > 10 {
			t.Fatal(calls, err)
		}
		events += resp.GetEvents()
		if req.Cursor = resp.GetCursor(); req.Cursor == "" {
			break
		}
	}
	if events != 3 {
		t.Errorf("replayed %d events", events)
	}
	resp, err := w.GetLag(t.Context(), &eventsv1.GetLagRequest{Region: string(home)})
	if err != nil || len(resp.GetLags()) != 3 {
		t.Fatalf("%v, %v", resp, err)
	}
	for i, database := range []string{"cellar_global", "cellar_customer", "cellar_regional"} {
		if l := resp.GetLags()[i]; l.GetDatabase() != database || l.GetDestination() != string(west) || l.GetPending() != 1 || !l.GetOldest().AsTime().Equal(now.Truncate(time.Microsecond)) {
			t.Errorf("got %v", l)
		}
	}
}

func TestHowFarTheFeedIsBehindIsToldByTheCellsOfItsRegion(t *testing.T) {
	w := newWorld(t)
	w.lags = []FeedLag{
		{Index: "cellar-orders", Consumer: "feed-orders", Behind: bus.Behind{Messages: 7, Last: w.clock.Now()}},
		{Index: "cellar-stock", Consumer: "feed-stock"},
	}
	resp, err := w.GetFeedLag(t.Context(), &eventsv1.GetFeedLagRequest{Region: string(home)})
	if err != nil || len(resp.GetLags()) != 2 {
		t.Fatal(resp, err)
	}
	if l := resp.GetLags()[0]; l.GetRegion() != string(home) || l.GetIndex() != "cellar-orders" || l.GetConsumer() != "feed-orders" || l.GetPending() != 7 || !l.GetLast().AsTime().Equal(w.clock.Now()) {
		t.Errorf("got %v", l)
	}
	if l := resp.GetLags()[1]; l.GetPending() != 0 || l.GetLast() != nil {
		t.Errorf("of one that has never written: %v", l)
	}
	for region, reason := range map[ident.Region]string{west: "FOREIGN_BROKER", home: "BROKER_UNREACHABLE"} {
		w.fails = errors.New("no answer")
		if _, err := w.GetFeedLag(t.Context(), &eventsv1.GetFeedLagRequest{Region: string(region)}); !problem.Is(err, reason) || problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s: %v", region, err)
		}
	}
	if _, err := w.GetFeedLag(t.Context(), &eventsv1.GetFeedLagRequest{Region: "nowhere"}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("of no region: %v", err)
	}
}
