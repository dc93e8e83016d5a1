package notice_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const here = ident.Region("us-east-1")

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// courier does what a test says, and counts what arrives where it is received.
type courier struct {
	mu sync.Mutex
	// answers by channel, one a try; when they are used up everything arrives.
	answers map[notificationv1.Channel][]notice.Outcome
	// taken tries by channel and key; by a channel that drops twins one a key.
	taken map[string]int
	tried map[notificationv1.Channel]int
}

func newCourier() *courier {
	return &courier{answers: map[notificationv1.Channel][]notice.Outcome{}, taken: map[string]int{}, tried: map[notificationv1.Channel]int{}}
}

func (c *courier) DropsTwins(ch notificationv1.Channel) bool { return ch != email }

func (c *courier) Deliver(_ context.Context, t notice.Try) (notice.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[t.Channel]++
	outcome := notice.Told
	if next := c.answers[t.Channel]; len(next) > 0 {
		outcome, c.answers[t.Channel] = next[0], next[1:]
	}
	if outcome == notice.Told || outcome == notice.Unknown {
		if c.taken[t.Channel.String()+t.Key]++; c.DropsTwins(t.Channel) {
			c.taken[t.Channel.String()+t.Key] = 1
		}
	}
	if outcome == notice.Told || outcome == notice.Unwanted {
		return outcome, nil
	}
	return outcome, errors.New("played by a test")
}

const (
	email   = notificationv1.Channel_CHANNEL_EMAIL
	sms     = notificationv1.Channel_CHANNEL_SMS
	webhook = notificationv1.Channel_CHANNEL_WEBHOOK
)

type world struct {
	db      *sqldb.DB
	clock   *clock.Manual
	courier *courier
	*notice.Sender
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	return onDB(sqldbtest.New(t, sqldb.Customer, options...))
}

func onDB(db *sqldb.DB) world {
	w := world{db: db, clock: clock.NewManual(opened), courier: newCourier()}
	w.Sender = notice.NewSender(notice.Deps{
		DB: db, Fence: fencetest.Owner(db, here), Clock: w.clock, Log: slog.New(slog.DiscardHandler), Courier: w.courier,
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{here}, 1 },
	})
	return w
}

// write a notice, as the transaction of what it is about does.
func (w world) write(t testing.TB, who ident.CustomerID, cause string) {
	t.Helper()
	must(t, w.db.InTx(context.Background(), func(tx sqldb.Tx) error {
		return notice.Write(context.Background(), tx, here, w.clock.Now(), notice.Notice{Customer: who, Cause: cause, Detail: &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_PLACED, OrderId: "o"}})
	}))
}

func (w world) states(t testing.TB) []string {
	t.Helper()
	return sqldbtest.Texts(t, w.db, "SELECT state FROM notifications ORDER BY cause")
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestANoticeIsToldOnceByEachChannelAndForgottenLater(t *testing.T) {
	w, who := newWorld(t), ident.NewCustomer("use1")
	w.write(t, who, "order/1/paid")
	w.write(t, who, "order/1/paid") // the consumer's twin
	w.write(t, ident.NewGuest("use1"), "order/2/paid")
	for range 3 {
		_, err := w.Sweep(t.Context())
		must(t, err)
		w.clock.Advance(time.Hour)
	}
	for _, c := range []notificationv1.Channel{email, sms, webhook} {
		if w.courier.tried[c] != 1 {
			t.Errorf("%s: %d tries", c, w.courier.tried[c])
		}
	}
	if got := w.states(t); len(got) != 1 || got[0] != "DONE" {
		t.Errorf("afterwards %v", got)
	}
	w.clock.Advance(8 * 24 * time.Hour)
	_, err := w.Sweep(t.Context())
	must(t, err)
	if got := w.states(t); len(got) != 0 {
		t.Errorf("a week later %v", got)
	}
}

func TestAFailureIsRepeatedWithPausesByThatChannelAlone(t *testing.T) {
	w, who := newWorld(t), ident.NewCustomer("use1")
	w.courier.answers[sms] = []notice.Outcome{notice.Failed, notice.Failed}
	w.write(t, who, "a")
	for _, step := range []struct {
		pause time.Duration
		tries int
	}{{0, 1}, {4 * time.Second, 1}, {time.Second, 2}, {9 * time.Second, 2}, {time.Second, 3}, {time.Hour, 3}} {
		w.clock.Advance(step.pause)
		_, err := w.Sweep(t.Context())
		must(t, err)
		if w.courier.tried[sms] != step.tries || w.courier.tried[email] != 1 {
			t.Fatalf("after %s: %v", step.pause, w.courier.tried)
		}
	}
}

func TestWhatNeverArrivesIsParked(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.courier.answers[email] = append(w.courier.answers[email], notice.Failed)
		if i == 0 {
			w.courier.answers[email][0] = notice.Refused
		}
	}
	w.write(t, ident.NewCustomer("use1"), "a") // the first try takes the refusal: it is parked at once
	_, err := w.Sweep(t.Context())
	must(t, err)
	w.write(t, ident.NewCustomer("use1"), "b")
	for range 20 {
		_, err := w.Sweep(t.Context())
		must(t, err)
		w.clock.Advance(time.Hour)
	}
	if got := strings.Join(w.states(t), " "); got != "PARKED PARKED" || w.courier.tried[email] != 15 {
		t.Errorf("%s after %d tries", got, w.courier.tried[email])
	}
}

// crashes counts down to the transaction that dies.
func crashes(at *atomic.Int64) sqldbtest.Option {
	return sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && at.Add(-1) == 0 {
			return errors.New("the process died")
		}
		return nil
	})
}

func TestACrashBetweenSendingAndMarkingTellsOnceWhereTwinsAreDroppedAndAtMostTwiceElsewhere(t *testing.T) {
	var at atomic.Int64
	w := newWorld(t, crashes(&at))
	w.write(t, ident.NewCustomer("use1"), "a")
	for range 5 {
		at.Store(2) // the claim is stored, what became of it is not
		_, _ = w.Sweep(t.Context())
		at.Store(0)
		w.clock.Advance(2 * time.Minute)
	}
	_, err := w.Sweep(t.Context())
	must(t, err)
	if w.courier.tried[email] != 2 {
		t.Errorf("the e-mail was sent %d times", w.courier.tried[email])
	}
	for key, n := range w.courier.taken {
		if !strings.HasPrefix(key, email.String()) && n != 1 {
			t.Errorf("%s arrived %d times", key, n)
		}
	}
	if got := strings.Join(w.states(t), " "); got != "DONE" {
		t.Errorf("afterwards %s", got)
	}
}

func TestHoweverItGoesNobodyIsToldTooOften(t *testing.T) {
	var at atomic.Int64
	db := sqldbtest.New(t, sqldb.Customer, crashes(&at))
	rapid.Check(t, func(t *rapid.T) {
		must(t, db.ExecText(context.Background(), "DELETE FROM notifications"))
		w := onDB(db)
		outcome := rapid.SampledFrom([]notice.Outcome{notice.Unknown, notice.Told, notice.Unwanted, notice.Failed})
		for _, c := range notice.Channels() {
			w.courier.answers[c] = rapid.SliceOfN(outcome, 0, 4).Draw(t, c.String())
		}
		must(t, db.InTx(context.Background(), func(tx sqldb.Tx) error {
			return notice.Write(context.Background(), tx, here, opened, notice.Notice{Customer: ident.NewCustomer("use1"), Cause: "a", Detail: &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_SHIPPED}})
		}))
		for _, crash := range rapid.SliceOfN(rapid.IntRange(0, 2), 12, 12).Draw(t, "crashes") {
			at.Store(int64(crash))
			_, err := w.Sweep(context.Background())
			if err != nil && crash == 0 {
				t.Fatal(err)
			}
			at.Store(0)
			w.clock.Advance(2 * time.Hour)
		}
		for key, n := range w.courier.taken {
			if limit := map[bool]int{true: 2, false: 1}[strings.HasPrefix(key, email.String())]; n > limit {
				t.Fatalf("%s arrived %d times", key, n)
			}
		}
	})
}
