package cellctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

func (o *options) order() *cobra.Command {
	cmd := &cobra.Command{
		Use: "order", Short: "See an order and its parcels, or follow them to the door",
		Long: "See an order and its parcels, or follow them to the door. Any cell that answers is asked; with --session the routers are, as the\n" +
			"order's customer. When one dies another goes on behind the last event that was seen.",
	}
	var token string
	cmd.PersistentFlags().StringVar(&token, "session", "", "ask through the routers, with this session of the order's customer")
	cmd.AddCommand(o.orderShow(&token), o.orderWatch(&token))
	return cmd
}

func (o *options) orderShow(token *string) *cobra.Command {
	return &cobra.Command{
		Use: "show ORDER", Short: "Show an order with its parcels and what has happened to it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := o.orderSources(cmd.Context(), args[0], *token)
			if err != nil {
				return err
			}
			return watchOrder(cmd.Context(), sources, func(order *orderv1.Order, _ bool) (bool, error) {
				return true, o.printMessage(cmd.OutOrStdout(), order, func(out io.Writer) error {
					return errors.Join(eventLines(out, order.GetEvents()), parcelTable(out, order))
				})
			})
		},
	}
}

func (o *options) orderWatch(token *string) *cobra.Command {
	return &cobra.Command{
		Use: "watch ORDER", Short: "Follow an order until each of its parcels is at the door, or nothing more is to come", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := o.orderSources(cmd.Context(), args[0], *token)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return watchOrder(cmd.Context(), sources, func(order *orderv1.Order, ended bool) (bool, error) {
				if o.output != "table" { // a line for each change, of the order with what is new
					return ended, json.NewEncoder(out).Encode(raw(order))
				}
				err := eventLines(out, order.GetEvents())
				if ended {
					err = errors.Join(err, parcelTable(out, order))
				}
				return ended, err
			})
		},
	}
}

// orderSource shows an order as it stands, and each change of it, without the events up to a number.
type orderSource func(ctx context.Context, after int64, show func(*orderv1.Order, bool) error) error

// orderSources that may be asked for an order: the cells, or the routers for who has a session.
func (o *options) orderSources(ctx context.Context, id, token string) (all []orderSource, err error) {
	info, err := o.running(ctx)
	if err != nil {
		return nil, err
	}
	if token != "" {
		for _, r := range platform.NewLayout(info.PortOffset).Routers {
			all = append(all, throughRouter("http://"+r.Listen, id, token))
		}
		return all, nil
	}
	m, err := info.ReadMap()
	if err != nil {
		return nil, err
	}
	key, err := secret.Read(info.PeerKey)
	if err != nil {
		return nil, err
	}
	for i := range m.Cells {
		all = append(all, atCell("http://"+m.Cells[i].Internal, id, key))
	}
	return all, nil
}

func throughRouter(url, id, token string) orderSource {
	client := orderv1connect.NewOrderServiceClient(&http.Client{Transport: rpc.Transport()}, url, append(rpc.ClientOptions(), connect.WithInterceptors(bearer(token)))...)
	return func(ctx context.Context, after int64, show func(*orderv1.Order, bool) error) error {
		stream, err := client.WatchOrder(ctx, &orderv1.WatchOrderRequest{OrderId: id, AfterSeq: after})
		return each(stream, err, func(m *orderv1.WatchOrderResponse) error { return show(m.GetOrder(), m.GetEnded()) })
	}
}

func atCell(url, id, key string) orderSource {
	client := orderv1connect.NewOrderServiceClient(rpc.Peer(key, nil), url, rpc.ClientOptions()...)
	return func(ctx context.Context, after int64, show func(*orderv1.Order, bool) error) error {
		stream, err := client.FollowOrder(ctx, &orderv1.FollowOrderRequest{OrderId: id, AfterSeq: after})
		return each(stream, err, func(m *orderv1.FollowOrderResponse) error { return show(m.GetOrder(), m.GetEnded()) })
	}
}

// each message of a stream, until it ends.
func each[M any](stream *connect.ServerStreamForClient[M], err error, show func(*M) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if err := show(stream.Msg()); err != nil {
			return err
		}
	}
	return stream.Err()
}

// bearer shows a session with each stream.
type bearer string

// WrapUnary implements connect.Interceptor.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

// WrapStreamingClient implements connect.Interceptor.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

const (
	// listenFor is how long one source is listened to: one that hangs says nothing either, and asking another costs little.
	listenFor = 20 * time.Second
	// askAgain is the pause before another source is asked when one has failed.
	askAgain = 300 * time.Millisecond
)

// watchOrder until show says that it has seen enough. Sources take turns: each goes on behind the last event that was shown.
func watchOrder(ctx context.Context, sources []orderSource, show func(o *orderv1.Order, ended bool) (enough bool, err error)) error {
	var seen int64
	var done, failed bool
	fresh := true
	for i := 0; ; i++ {
		listening, cancel := context.WithTimeout(ctx, listenFor)
		err := sources[i%len(sources)](listening, seen, func(o *orderv1.Order, ended bool) (err error) {
			if n := len(o.GetEvents()); n > 0 {
				seen = o.GetEvents()[n-1].GetSeq()
			} else if !fresh && !ended {
				return nil // another source, and nothing new
			}
			fresh = false
			done, err = show(o, ended)
			failed = err != nil
			if done || failed {
				cancel() // the rest of the stream is of no interest
			}
			return err
		})
		cancel()
		switch {
		case failed:
			return err
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && slices.Contains(final, connect.CodeOf(err)):
			return said(err)
		}
		if !pause(ctx, askAgain) {
			return ctx.Err()
		}
	}
}

// final answers: another source would say the same.
var final = []connect.Code{connect.CodeNotFound, connect.CodeInvalidArgument, connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeUnimplemented}

// eventLines says what has happened, a line each.
func eventLines(out io.Writer, events []*orderv1.Event) error {
	for _, e := range events {
		what := strings.ReplaceAll(e.GetKind(), "_", " ")
		at := e.GetAt()
		if scan := e.GetScan(); scan != nil {
			what, at = strings.ReplaceAll(word(scan.GetState(), "WAY_STATE_"), "_", " "), scan.GetAt()
			for _, more := range []string{scan.GetPlace(), scan.GetNote()} {
				if more != "" {
					what += ", " + more
				}
			}
		}
		if _, err := fmt.Fprintf(out, "%3d  %s  %-6s  %s\n", e.GetSeq(), when(at), orDash(e.GetFcId()), what); err != nil {
			return err
		}
	}
	return nil
}

// parcelTable shows each parcel of an order: who carries it, its number, how far it is and since when.
func parcelTable(out io.Writer, o *orderv1.Order) error {
	lines := []string{tabbed("PARCEL FROM", "STATE", "CARRIER", "TRACKING NUMBER", "LEFT", "WAY", "SINCE")}
	for _, p := range o.GetParcels() {
		way, since := "-", "-"
		if n := len(p.GetScans()); n > 0 {
			way, since = word(p.GetWay(), "WAY_STATE_"), when(p.GetScans()[n-1].GetAt())
		}
		lines = append(lines, tabbed(p.GetFcId()+" in "+p.GetRegion(), word(p.GetState(), "PARCEL_STATE_"), orDash(p.GetCarrier()), orDash(p.GetTrackingNumber()), when(p.GetShippedAt()), way, since))
	}
	if _, err := fmt.Fprintf(out, "order %s is %s, its money %s\n", o.GetOrderId(), word(o.GetStatus(), "STATUS_"), word(o.GetPaymentStatus(), "PAYMENT_STATUS_")); err != nil {
		return err
	}
	return columns(out, lines...)
}
