package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/fence"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// WrongCellHeader repeats the typed redirect in a form that the router reads without knowing the body's encoding:
// "owner=<cell>; ring=<region>; slot=<n>; epoch=<n>", and "; customer=<id>" when that is the owner of one customer only.
const WrongCellHeader = "Cellar-Wrong-Cell"

// DefaultDeadline of a unary call whose client gives none.
const DefaultDeadline = 10 * time.Second

// Observer is told of every call that ends.
type Observer interface {
	// CallEnded after a duration; code is empty for success.
	CallEnded(procedure, code string, took time.Duration)
}

// HandlerOptions of every service of a cell.
func HandlerOptions(log *slog.Logger, observe Observer) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithInterceptors(&interceptor{log: log, observe: observe}),
		connect.WithReadMaxBytes(MaxBody),
		connect.WithCompression("gzip", nil, nil),
	}
}

// interceptor recovers panics, sets a deadline, and turns errors into what goes over the wire.
type interceptor struct {
	log     *slog.Logger
	observe Observer
}

var _ connect.Interceptor = (*interceptor)(nil)

// WrapUnary implements connect.Interceptor.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (resp connect.AnyResponse, err error) {
		if _, has := ctx.Deadline(); !has {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, DefaultDeadline)
			defer cancel()
		}
		start := time.Now()
		defer func() { err = i.end(ctx, req.Spec().Procedure, start, recovered(recover(), err)) }()
		return next(ctx, req)
	}
}

// WrapStreamingClient implements connect.Interceptor; clients are left alone.
func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		start := time.Now()
		defer func() { err = i.end(ctx, conn.Spec().Procedure, start, recovered(recover(), err)) }()
		return next(ctx, conn)
	}
}

func recovered(panicked any, err error) error {
	if panicked == nil {
		return err
	}
	return fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
}

// end of a call: what went wrong on our side is logged here, once, with its whole chain.
func (i *interceptor) end(ctx context.Context, procedure string, start time.Time, err error) error {
	took := time.Since(start)
	if err == nil {
		i.observe.CallEnded(procedure, "", took)
		return nil
	}
	wire := toWire(err)
	i.observe.CallEnded(procedure, wire.Code().String(), took)
	if kind := problem.KindOf(err); kind == problem.Internal {
		i.log.ErrorContext(ctx, "a call failed", "procedure", procedure, "error", err)
	}
	return wire
}

// toWire adds the router's header to redirects.
func toWire(err error) *connect.Error {
	wire := problem.ToConnect(err)
	if d, ok := problem.Detail[*problemv1.WrongCell](err); ok && problem.Is(err, fence.ReasonWrongCell) {
		value := "owner=" + d.GetOwner() + "; ring=" + d.GetRing() +
			"; slot=" + strconv.FormatUint(uint64(d.GetSlot()), 10) + "; epoch=" + strconv.FormatUint(d.GetEpoch(), 10)
		if d.GetCustomerId() != "" {
			value += "; customer=" + d.GetCustomerId()
		}
		wire.Meta().Set(WrongCellHeader, value)
	}
	return wire
}
