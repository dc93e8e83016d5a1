package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// operator of a broker, which lets in whom its account vouches for: nobody is named in its configuration.
type operator struct {
	t       *testing.T
	account nkeys.KeyPair
	broker  *bustest.Broker
}

func newOperator(t *testing.T) operator {
	t.Helper()
	root, account, system := keys(t, nkeys.CreateOperator), keys(t, nkeys.CreateAccount), keys(t, nkeys.CreateAccount)
	claims := jwt.NewOperatorClaims(public(t, root))
	claims.SystemAccount = public(t, system)
	cells := jwt.NewAccountClaims(public(t, account))
	cells.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	config := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n", encoded(t, claims, root), public(t, system),
		public(t, account), encoded(t, cells, root), public(t, system), encoded(t, jwt.NewAccountClaims(public(t, system)), root))
	return operator{t: t, account: account, broker: bustest.Guarded(t, config)}
}

func keys(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	p, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encoded(t *testing.T, claims jwt.Claims, by nkeys.KeyPair) string {
	t.Helper()
	text, err := claims.Encode(by)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// creds are what nsc writes for a user: its JWT, signed by an account, and its seed.
func (o operator) creds(user ident.Region, by nkeys.KeyPair, until time.Time) []byte {
	o.t.Helper()
	own := keys(o.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(o.t, own))
	grant := bus.GrantFor(home, user)
	claims.Pub.Allow, claims.Sub.Allow = grant.Publish, grant.Subscribe
	if !until.IsZero() {
		claims.Expires = until.Unix()
	}
	seed, err := own.Seed()
	if err != nil {
		o.t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(encoded(o.t, claims, by), seed)
	if err != nil {
		o.t.Fatal(err)
	}
	return file
}

func (o operator) as(user ident.Region, file string, log *slog.Logger) *bus.Bus {
	return guarded{broker: o.broker}.as(o.t, user, file, log)
}

func TestACredsFileIsACredentialAsWell(t *testing.T) {
	o, file, far := newOperator(t), filepath.Join(t.TempDir(), "home.creds"), filepath.Join(t.TempDir(), "far.creds")
	write(t, file, o.creds(home, o.account, time.Time{}))
	write(t, far, o.creds(abroad, o.account, time.Time{}))
	owner, other := o.as(home, file, slog.New(slog.DiscardHandler)), o.as(abroad, far, slog.New(slog.DiscardHandler))
	await(t, "the streams are declared", func() bool { return owner.EnsureStreams(t.Context(), home) == nil })
	got, seen, attached := make(chan bus.Message, 10), make(chan bus.Message, 10), make(chan struct{})
	following := orders
	following.Attached = func() { close(attached) }
	background(t, func(ctx context.Context) error { return owner.Follow(ctx, following, into(seen)) })
	receive(t, attached, "the follower is in place")
	publishUntil(t, owner, message(1))
	publishUntil(t, other, message(2))
	background(t, func(ctx context.Context) error { return owner.Consume(ctx, orders, into(got)) })
	for range 2 {
		receive(t, got, "what both have published")
		receive(t, seen, "what both have published, followed")
	}
	await(t, "all is acknowledged", func() bool {
		behind, err := owner.Behind(t.Context(), orders)
		return err == nil && behind.Messages == 0
	})
	m := message(3)
	m.Subject = "stock.us-east-1.summarized"
	if err := other.Publish(t.Context(), home, []bus.Message{m}); !problem.Is(err, bus.ReasonDenied) {
		t.Errorf("another region's news: %v", err)
	}
}

func TestACredsFileThatIsNotTakenIsToldAndAMendedOneIsFound(t *testing.T) {
	o := newOperator(t)
	owner := filepath.Join(t.TempDir(), "owner.creds")
	write(t, owner, o.creds(home, o.account, time.Time{}))
	declaring := o.as(home, owner, slog.New(slog.DiscardHandler))
	await(t, "the streams are declared", func() bool { return declaring.EnsureStreams(t.Context(), home) == nil })
	for name, content := range map[string][]byte{
		"has run out":           o.creds(home, o.account, time.Now().Add(-time.Hour)),
		"another account's":     o.creds(home, keys(t, nkeys.CreateAccount), time.Time{}),
		"a seed without a user": seedOf(t),
	} {
		file, logged := filepath.Join(t.TempDir(), "home.creds"), &lines{}
		write(t, file, content)
		b := o.as(home, file, logged.logger())
		await(t, name+": an error says so", func() bool { return problem.Is(b.Publish(t.Context(), home, messages(1, 2)), bus.ReasonRefused) })
		if !logged.has(`"reason":"` + bus.ReasonRefused + `"`) {
			t.Errorf("%s: the log has %s", name, logged)
		}
		write(t, file, o.creds(home, o.account, time.Time{}))
		publishUntil(t, b, message(1))
	}
}

func seedOf(t *testing.T) []byte {
	t.Helper()
	seed, err := keys(t, nkeys.CreateUser).Seed()
	if err != nil {
		t.Fatal(err)
	}
	return seed
}
