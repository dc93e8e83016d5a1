package bus_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
)

// More messages than a batch takes, of two streams in turn, some of them seen before: each arrives once, those of a stream in
// their order.
func TestManyMessagesArriveOnceAndInOrder(t *testing.T) {
	b := connect(t, bustest.Start(t), t.Name())
	products := bus.Consumer{Region: home, Stream: bus.StreamCatalog, Subject: "catalog.>"}
	got, changed, attached := make(chan bus.Message, 5000), make(chan bus.Message, 5000), make(chan struct{}, 2)
	follow := orders
	follow.Attached, products.Attached = func() { attached <- struct{}{} }, func() { attached <- struct{}{} }
	background(t, func(ctx context.Context) error { return b.Follow(ctx, follow, into(got)) })
	background(t, func(ctx context.Context) error { return b.Follow(ctx, products, into(changed)) })
	for range 2 {
		receive(t, attached, "the followers are in place")
	}
	const n = 1201
	var all []bus.Message
	for i := range n {
		all = append(all, message(i), bus.Message{ID: fmt.Sprintf("p-%d", i), Subject: "catalog.product.changed", Data: fmt.Appendf(nil, "product %d", i)})
	}
	publish(t, b, all[0], all[1])
	publish(t, b, all...)
	publish(t, b, all...) // its acknowledgement was lost
	publish(t, b, message(n), bus.Message{ID: "p-last", Subject: "catalog.product.changed"})
	for i := range n + 1 {
		if m := receive(t, got, "an order's message"); m.ID != fmt.Sprintf("m-%d", i) || string(m.Data) != fmt.Sprintf("body %d", i) {
			t.Fatalf("got %s, want m-%d", m.ID, i)
		}
		want := fmt.Sprintf("p-%d", i)
		if i == n {
			want = "p-last"
		}
		if m := receive(t, changed, "a product's message"); m.ID != want {
			t.Fatalf("got %s, want %s", m.ID, want)
		}
	}
	nothing(t, got, "all have come")
	nothing(t, changed, "all have come")
}

func TestABatchToASubjectWithoutAStreamFails(t *testing.T) {
	b := newBus(t)
	lost := message(1)
	lost.Subject = "nowhere.at.all"
	again := lost
	again.ID = "m-2"
	if err := b.Publish(t.Context(), home, []bus.Message{lost, again}); err == nil {
		t.Error("it claims to have published")
	}
}
