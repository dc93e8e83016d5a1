package router

import (
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// retryAfter is when a shopper whose cell is away should come back: a cell is replaced within seconds.
const retryAfter = time.Second

// unavailable with a time to come back.
func unavailable(reason, message string) *problem.Problem {
	return problem.New(problem.Unavailable, reason, message, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}

var (
	errNoCell      = unavailable("NO_CELL", "no cell can take the request right now")
	errCellAway    = unavailable("CELL_UNAVAILABLE", "the cell that serves this customer cannot be reached; nothing was done")
	errSlotMoving  = unavailable("SLOT_MOVING", "this customer is being moved to another cell; nothing was done")
	errAnswerLost  = unavailable("ANSWER_LOST", "the cell's answer was lost; the request may have taken effect")
	errOverloaded  = problem.New(problem.Exhausted, "ROUTER_OVERLOADED", "too many requests at once; try again in a moment")
	errBodyTooLong = problem.New(problem.Exhausted, "BODY_TOO_LARGE", "a request has at most 1 MiB")
)

// refuse in the protocol of the request.
func (r *Router) refuse(w http.ResponseWriter, req *http.Request, p *problem.Problem) {
	if p.Kind == problem.Unavailable || p.Kind == problem.Exhausted {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	_ = r.errors.Write(w, req, problem.ToConnect(p)) // it fails only when nobody listens any more
}

func newErrorWriter() *connect.ErrorWriter { return connect.NewErrorWriter() }
