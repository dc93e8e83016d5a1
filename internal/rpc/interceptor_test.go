package rpc_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

func asConnect(err error, target **connect.Error) bool { return errors.As(err, target) }

// secret stands for driver texts and whatever else an error of ours may carry.
const secret = "postgres://cellar:hunter2@10.0.0.7"

func TestWhatGoesWrongOnOurSideIsLoggedAndNotTold(t *testing.T) {
	for name, handle := range map[string]func(context.Context) error{
		"a panic":                 func(context.Context) error { panic(secret) },
		"an error nobody expects": func(context.Context) error { return fmt.Errorf("cart of c1: %s", secret) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t)
			c.handle = handle
			_, err := c.cart().GetCart(t.Context(), &cartv1.GetCartRequest{})
			if problem.KindOf(err) != problem.Internal || !problem.Is(err, "INTERNAL") {
				t.Errorf("got %v", err)
			}
			raw := post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, "{}", nil)
			if raw.status != http.StatusInternalServerError || strings.Contains(raw.body+fmt.Sprint(raw.header)+err.Error(), "hunter2") {
				t.Errorf("the client reads %d %s", raw.status, raw.body)
			}
			if !strings.Contains(c.logged(), "hunter2") || !strings.Contains(c.logged(), "GetCart") {
				t.Errorf("the log has %q", c.logged())
			}
			if want := []string{"GetCart internal", "GetCart internal"}; !slices.Equal(c.ended, want) {
				t.Errorf("the observer was told of %q", c.ended)
			}
			c.handle = nil
			if _, err := c.cart().GetCart(t.Context(), &cartv1.GetCartRequest{}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAProblemIsToldWithItsReasonAndNotLogged(t *testing.T) {
	c := newCell(t)
	c.handle = func(context.Context) error {
		cause := problem.Wrap(errors.New(secret), problem.Precondition, "OUT_OF_STOCK", "none left")
		return fmt.Errorf("add sku-1 to the cart: %w", cause)
	}
	_, err := c.cart().AddItem(t.Context(), &cartv1.AddItemRequest{})
	p := problem.As(err)
	if p == nil || p.Kind != problem.Precondition || p.Reason != "OUT_OF_STOCK" || p.Message != "none left" || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if c.logged() != "" || !slices.Equal(c.ended, []string{"AddItem failed_precondition"}) {
		t.Errorf("logged %q, observed %q", c.logged(), c.ended)
	}
}

func TestARedirectFromWithinAHandlerIsReadableByTheRouter(t *testing.T) {
	c := newCell(t)
	id := c.theirs(false)
	c.handle = func(context.Context) error { return fmt.Errorf("read the cart: %w", c.fence.Check(t.Context(), id)) }
	client := cartv1connect.NewCartServiceClient(rpc.Peer(key, nil), c.peers.URL, rpc.ClientOptions()...)
	_, err := client.ReadCart(t.Context(), &cartv1.ReadCartRequest{})
	expectRedirect(t, "a peer", err, "owner=use1-b; ring=us-east-1; slot="+strconv.Itoa(int(id.Slot()))+"; epoch=5")
}

func TestACallHasADeadlineAndAShorterOneOfTheClientStays(t *testing.T) {
	c := newCell(t)
	left := make(chan time.Duration, 1)
	c.handle = func(ctx context.Context) error {
		deadline, ok := ctx.Deadline()
		if !ok {
			t.Error("there is no deadline")
		}
		left <- time.Until(deadline)
		return nil
	}
	if _, err := c.cart().GetCart(context.Background(), &cartv1.GetCartRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := <-left; got <= rpc.DefaultDeadline/2 || got > rpc.DefaultDeadline {
		t.Errorf("without a client's: %v are left", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), rpc.DefaultDeadline/2)
	defer cancel()
	if _, err := c.cart().GetCart(ctx, &cartv1.GetCartRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := <-left; got > rpc.DefaultDeadline/2 {
		t.Errorf("with a client's: %v are left", got)
	}
}

func TestABodyThatIsTooLargeIsRefusedUnread(t *testing.T) {
	c := newCell(t)
	request := &cartv1.AddItemRequest{Sku: strings.Repeat("x", rpc.MaxBody+1)}
	_, err := c.cart().AddItem(t.Context(), request)
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("outside: got %v", err)
	}
	merge := &cartv1.ReadCartRequest{CustomerId: strings.Repeat("x", rpc.MaxBody+1)}
	client := cartv1connect.NewCartServiceClient(rpc.Peer(key, nil), c.peers.URL, rpc.ClientOptions()...)
	if _, err := client.ReadCart(t.Context(), merge); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("inside: got %v", err)
	}
	if n, _ := c.served(); n != 0 {
		t.Errorf("%d calls came through", n)
	}
	request.Sku = request.Sku[:rpc.MaxBody-100]
	if _, err := c.cart().AddItem(t.Context(), request); err != nil {
		t.Errorf("just below the limit: %v", err)
	}
}

func TestNothingIsCompressed(t *testing.T) {
	c := newCell(t)
	got := post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, "{}", http.Header{"Accept-Encoding": {"gzip"}})
	if got.status != http.StatusOK || got.header.Get("Content-Encoding") != "" {
		t.Errorf("got %d, %v", got.status, got.header)
	}
	var packed strings.Builder
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("{}")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	got = post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, packed.String(), http.Header{"Content-Encoding": {"gzip"}})
	if got.status != http.StatusNotImplemented {
		t.Errorf("a compressed request: got %d %s", got.status, got.body)
	}
}
