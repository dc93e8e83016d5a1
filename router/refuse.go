package router

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// retryAfter is when a shopper whose cell is away should come back: a cell is replaced within seconds.
const retryAfter = time.Second

// comeBack adds a time to come back to a refusal that will pass.
func comeBack(kind problem.Kind, reason, message string) *problem.Problem {
	return problem.New(kind, reason, message, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}

var (
	errNoCell      = comeBack(problem.Unavailable, "NO_CELL", "no cell can take the request right now")
	errCellAway    = comeBack(problem.Unavailable, "CELL_UNAVAILABLE", "the cell that should serve this cannot be reached; nothing was done")
	errSlotMoving  = comeBack(problem.Unavailable, "SLOT_MOVING", "this customer is being moved to another cell; nothing was done")
	errAnswerLost  = comeBack(problem.Unavailable, "ANSWER_LOST", "the cell's answer was lost; the request may have taken effect")
	errTooLate     = comeBack(problem.Unavailable, "DEADLINE_EXCEEDED", "the cell took too long; the request may have taken effect")
	errGone        = problem.New(problem.Unavailable, "CANCELED", "the client gave the request up")
	errBusy        = comeBack(problem.Exhausted, "CELL_OVERLOADED", "the cell that should serve this has too many requests at once; nothing was done")
	errOverloaded  = comeBack(problem.Exhausted, "ROUTER_OVERLOADED", "too many requests at once; try again in a moment")
	errBodyTooLong = problem.New(problem.Exhausted, "BODY_TOO_LARGE", "a request has at most 1 MiB")
)

// refuse in the protocol of the request, and give the reason back: Connect, gRPC or gRPC-Web; plain Connect JSON for
// anything else.
func (r *Router) refuse(w http.ResponseWriter, req *http.Request, p *problem.Problem) string {
	if _, passes := problem.Detail[*errdetails.RetryInfo](p); passes {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	_ = r.errors.Write(w, req, problem.ToConnect(p)) // it fails only when nobody listens any more
	return p.Reason
}

// unreadable is what a request is refused with whose body could not be read; nil without an error.
func unreadable(err error) *problem.Problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, http1.ErrBodyTooLong):
		return errBodyTooLong
	default:
		return problem.Wrap(err, problem.Invalid, "BODY_UNREADABLE", "the request's body could not be read")
	}
}

// own pages of the router: /livez and /readyz.
func (r *Router) own(path string) (status int, body []byte) {
	if path == "/readyz" && !r.Ready() {
		return http.StatusServiceUnavailable, []byte("no cell of this region serves\n")
	}
	return http.StatusOK, []byte("ok\n")
}
