package router_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

// cart that tells which cell it is in; the gate before it is the cells' own.
type cart struct {
	cartv1connect.UnimplementedCartServiceHandler
	cell   string
	refuse error
}

// GetCart implements the cart.
func (c cart) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	if c.refuse != nil {
		return nil, c.refuse
	}
	return &cartv1.GetCartResponse{Cart: &cartv1.Cart{CustomerId: c.cell}}, nil
}

// own is what the owners know: a slot of one customer, say.
type own func(ident.CustomerID) (string, uint64, bool)

// Owner implements fence.Owners.
func (o own) Owner(id ident.CustomerID) (string, uint64, bool) { return o(id) }

// gated makes a cell serve carts behind the real gate, which asks owners.
func (w *world) gated(t *testing.T, c *cell, s *session.Signer, owners own) {
	t.Helper()
	f, err := fence.New(fence.Deps{Cell: c.id, Region: home, Owners: owners})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(cartv1connect.NewCartServiceHandler(cart{cell: c.id}))
	c.on(rpc.Public(rpc.PublicDeps{Sessions: s, Fence: f, Clock: w.clock}, mux).ServeHTTP)
}

// protocols that shoppers' programs may speak.
func protocols() map[string]struct {
	transport *http.Transport
	options   []connect.ClientOption
} {
	type client = struct {
		transport *http.Transport
		options   []connect.ClientOption
	}
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	return map[string]client{
		"Connect":                {&http.Transport{}, nil},
		"Connect by GET":         {&http.Transport{}, []connect.ClientOption{connect.WithHTTPGet()}},
		"Connect JSON on HTTP/2": {&http.Transport{Protocols: two}, []connect.ClientOption{connect.WithProtoJSON()}},
		"gRPC":                   {&http.Transport{Protocols: two}, []connect.ClientOption{connect.WithGRPC()}},
		"gRPC-Web":               {&http.Transport{}, []connect.ClientOption{connect.WithGRPCWeb()}},
	}
}

func TestEveryProtocolIsRedirectedByTheRealGate(t *testing.T) {
	for name, p := range protocols() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).run(t)
			defer p.transport.CloseIdleConnections()
			signer, err := session.NewSigner(bytes.Repeat([]byte("k"), 32))
			if err != nil {
				t.Fatal(err)
			}
			moved := func(ident.CustomerID) (string, uint64, bool) { return "use1-b", 2, true }
			w.gated(t, w.a, signer, moved)
			w.gated(t, w.b, signer, moved)
			token, _ := signer.Issue(session.Principal{CustomerID: w.customer(w.a), SessionID: "s"}, w.clock.Now())
			client := cartv1connect.NewCartServiceClient(&http.Client{Transport: p.transport}, w.front.URL, p.options...)
			for range 2 {
				ctx, info := connect.NewClientContext(t.Context())
				info.RequestHeader().Set("Authorization", "Bearer "+token)
				got, err := client.GetCart(ctx, &cartv1.GetCartRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if got.GetCart().GetCustomerId() != "use1-b" {
					t.Errorf("got %v", got)
				}
			}
			if n := len(w.a.requests()); n != 1 {
				t.Errorf("the old owner was asked %d times", n)
			}
		})
	}
}

func TestEveryProtocolHearsTheRoutersOwnRefusals(t *testing.T) {
	for name, p := range protocols() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t) // its cells have not been asked whether they are ready
			defer p.transport.CloseIdleConnections()
			client := cartv1connect.NewCartServiceClient(&http.Client{Transport: p.transport}, w.front.URL, p.options...)
			_, err := client.GetCart(t.Context(), &cartv1.GetCartRequest{})
			if connect.CodeOf(err) != connect.CodeUnavailable || !problem.Is(err, "NO_CELL") {
				t.Errorf("got %v", err)
			}
			if again, ok := problem.Detail[*errdetails.RetryInfo](err); !ok || again.GetRetryDelay().AsDuration() <= 0 {
				t.Errorf("it does not say when to come back: %v", err)
			}
		})
	}
}

func TestEveryProtocolHearsTheCellsRefusals(t *testing.T) {
	for name, p := range protocols() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).run(t)
			defer p.transport.CloseIdleConnections()
			refusal := problem.ToConnect(problem.New(problem.Precondition, "CART_FULL", "the cart is full"))
			refusal.Meta().Set("X-Meta", "kept")
			refusal.Meta().Set(rpc.WrongCellHeader, "malformed")
			mux := http.NewServeMux()
			mux.Handle(cartv1connect.NewCartServiceHandler(cart{refuse: refusal}))
			w.a.on(mux.ServeHTTP)
			client := cartv1connect.NewCartServiceClient(&http.Client{Transport: p.transport}, w.front.URL, p.options...)
			ctx, info := connect.NewClientContext(t.Context())
			info.RequestHeader().Set("Authorization", bearer(w.customer(w.a)).Get("Authorization"))
			_, err := client.GetCart(ctx, &cartv1.GetCartRequest{})
			if !problem.Is(err, "CART_FULL") {
				t.Fatalf("got %v", err)
			}
			wire, _ := errors.AsType[*connect.Error](err)
			if wire.Meta().Get("X-Meta") != "kept" || hasHeader(wire.Meta(), rpc.WrongCellHeader) {
				t.Errorf("meta %v", wire.Meta())
			}
		})
	}
}

func hasHeader(h http.Header, name string) bool {
	for k := range h {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

func TestTheRouterLooksForSessionsWhereCellsDo(t *testing.T) {
	w := newWorld(t).run(t)
	id := w.customer(w.west)
	token := strings.TrimPrefix(bearer(id).Get("Authorization"), "Bearer ")
	for _, c := range w.cells {
		c.on(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Token", rpc.TokenOf(r.Header)) // what arrives is what counts
			_, _ = io.WriteString(rw, c.id)
		})
	}
	for _, h := range []http.Header{
		{"Authorization": {"Bearer " + token}},
		{"Authorization": {"Bearer  " + token + " "}},
		{"Authorization": {"Basic x", "Bearer " + token}},
		{"Authorization": {"Bearer "}, "Cookie": {"cellar_session=" + token}},
		{"Authorization": {"bearer " + token}},
		{"Cookie": {"cellar_session=" + token}},
		{"Cookie": {"a=b;cellar_session=" + token + ";c"}},
		{"Cookie": {`cellar_session="` + token + `"`}},
		{"Cookie": {"xcellar_session=" + token}},
		{"Cellar-Session": {token}},
		{},
	} {
		a := w.post(t, "{}", h)
		if _, found := session.ParseCustomer(a.header.Get("X-Token")); (a.body == "usw2-a") != found {
			t.Errorf("%v: a cell finds a session: %v; the router went to %s", h, found, a.body)
		}
	}
}
