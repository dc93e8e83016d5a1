package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// A cell's credential in the hands of somebody who does not use this package.
func TestACellsCredentialCannotDestroyWhatABrokerHas(t *testing.T) {
	g := newGuarded(t)
	owner := g.theHome(t)
	publish(t, owner, messages(0, 5)...)
	for _, user := range []ident.Region{home, abroad} {
		option, err := nats.NkeyOptionFromSeed(g.files[user])
		if err != nil {
			t.Fatal(err)
		}
		denied := make(chan string, 100)
		conn, err := nats.Connect(g.broker.URL(), option, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err.Error() }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, subject := range []string{
			"$JS.API.STREAM.DELETE.ORDER", "$JS.API.STREAM.PURGE.ORDER", "$JS.API.STREAM.MSG.DELETE.ORDER", "$JS.API.CONSUMER.DELETE.ORDER.order", "$JS.API.STREAM.RESTORE.ORDER",
			"$JS.API.ACCOUNT.PURGE.$G", "$JS.API.META.LEADER.STEPDOWN", "$SYS.REQ.SERVER.PING",
		} {
			if err := conn.Publish(subject, []byte(`{"seq": 1}`)); err != nil {
				t.Fatal(err)
			}
			if said := receive(t, denied, string(user)+" is denied "+subject); !strings.Contains(said, `"`+subject+`"`) {
				t.Errorf("%s of %s: the broker says %q", subject, user, said)
			}
		}
	}
	got := make(chan bus.Message, 10)
	background(t, func(ctx context.Context) error { return owner.Consume(ctx, orders, into(got)) })
	for range 5 {
		receive(t, got, "what the stream had")
	}
}
