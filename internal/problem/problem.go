package problem

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
)

// Kind says what a caller can do about it; see the package comment.
type Kind int

// The kinds, each with its Connect code in codes.
const (
	Internal Kind = iota
	Invalid
	NotFound
	AlreadyExists
	Precondition
	Aborted
	Unauthenticated
	Denied
	Exhausted
	Unavailable
)

var codes = map[Kind]connect.Code{
	Internal:        connect.CodeInternal,
	Invalid:         connect.CodeInvalidArgument,
	NotFound:        connect.CodeNotFound,
	AlreadyExists:   connect.CodeAlreadyExists,
	Precondition:    connect.CodeFailedPrecondition,
	Aborted:         connect.CodeAborted,
	Unauthenticated: connect.CodeUnauthenticated,
	Denied:          connect.CodePermissionDenied,
	Exhausted:       connect.CodeResourceExhausted,
	Unavailable:     connect.CodeUnavailable,
}

// Domain of the reasons, in google.rpc.ErrorInfo.
const Domain = "cellar"

// Problem is an error with a kind and a reason.
type Problem struct {
	Kind    Kind
	Reason  string
	Message string
	Details []proto.Message
	cause   error
}

// New problem. The message is for people and goes to the client: nothing personal, no driver text.
func New(kind Kind, reason, message string, details ...proto.Message) *Problem {
	return &Problem{Kind: kind, Reason: reason, Message: message, Details: details}
}

// Wrap keeps the cause for the log; the client sees only reason and message.
func Wrap(cause error, kind Kind, reason, message string, details ...proto.Message) *Problem {
	return &Problem{Kind: kind, Reason: reason, Message: message, Details: details, cause: cause}
}

// Error has the cause too: it is for logs.
func (p *Problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%s: %s: %v", p.Reason, p.Message, p.cause)
	}
	return p.Reason + ": " + p.Message
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.cause }

// As finds the Problem in an error: one of this process, or one that a Connect client got from another.
// Nil when there is none.
func As(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		return fromConnect(ce)
	}
	return nil
}

// Is tells whether err is a Problem of that reason, from this process or another.
func Is(err error, reason string) bool {
	p := As(err)
	return p != nil && p.Reason == reason
}

// KindOf an error; Internal for anything that is no Problem.
func KindOf(err error) Kind {
	if p := As(err); p != nil {
		return p.Kind
	}
	return Internal
}

// Detail finds the first detail of a type in an error's Problem.
func Detail[T proto.Message](err error) (T, bool) {
	var none T
	p := As(err)
	if p == nil {
		return none, false
	}
	for _, d := range p.Details {
		if t, ok := d.(T); ok {
			return t, true
		}
	}
	return none, false
}

// ToConnect turns any error into what goes over the wire.
func ToConnect(err error) *connect.Error {
	p := As(err)
	if p == nil {
		p = contextProblem(err)
	}
	// errors.New, not the error itself: Connect would print the whole chain to the client.
	out := connect.NewError(codes[p.Kind], errors.New(p.Message))
	addDetail(out, &errdetails.ErrorInfo{Reason: p.Reason, Domain: Domain})
	for _, d := range p.Details {
		addDetail(out, d)
	}
	return out
}

// contextProblem turns the end of a context into something a caller understands, and the rest into "internal".
func contextProblem(err error) *Problem {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, Unavailable, "DEADLINE_EXCEEDED", "the request took too long; its outcome may be unknown")
	case errors.Is(err, context.Canceled):
		return Wrap(err, Unavailable, "CANCELED", "the request was given up")
	default:
		return Wrap(err, Internal, "INTERNAL", "something went wrong on our side")
	}
}

func addDetail(e *connect.Error, m proto.Message) {
	if d, err := connect.NewErrorDetail(m); err == nil {
		e.AddDetail(d)
	}
}

// fromConnect reads back what ToConnect wrote. A proxy's own error has no ErrorInfo: its code decides.
func fromConnect(ce *connect.Error) *Problem {
	p := &Problem{Kind: kindOf(ce.Code()), Message: ce.Message(), Reason: "UNSPECIFIED", cause: ce}
	for _, d := range ce.Details() {
		m, err := d.Value()
		if err != nil {
			continue
		}
		if info, ok := m.(*errdetails.ErrorInfo); ok {
			p.Reason = info.GetReason()
			continue
		}
		p.Details = append(p.Details, m)
	}
	return p
}

func kindOf(code connect.Code) Kind {
	for kind, c := range codes {
		if c == code {
			return kind
		}
	}
	// Deadlines and cancellations of a remote part: it may work later.
	if code == connect.CodeDeadlineExceeded || code == connect.CodeCanceled {
		return Unavailable
	}
	return Internal
}

// Violations collects what is wrong with a request, so that a client learns everything at once.
type Violations struct{ list []*problemv1.FieldViolation }

// Add a violation of a field; path as in "lines[2].quantity".
func (v *Violations) Add(field, description string) {
	v.list = append(v.list, &problemv1.FieldViolation{Field: field, Description: description})
}

// Check adds a violation unless ok.
func (v *Violations) Check(ok bool, field, description string) {
	if !ok {
		v.Add(field, description)
	}
}

// Err is nil when nothing was added, else an Invalid problem with reason INVALID_FIELDS and all violations.
func (v *Violations) Err() error {
	if len(v.list) == 0 {
		return nil
	}
	first := v.list[0]
	return New(Invalid, "INVALID_FIELDS", first.GetField()+": "+first.GetDescription(), &problemv1.FieldViolations{Violations: v.list})
}

// Encode an error as a serialized google.rpc.Status, to be stored and given again.
func Encode(err error) []byte {
	p := As(err)
	if p == nil {
		p = contextProblem(err)
	}
	out := &status.Status{Code: int32(codes[p.Kind]), Message: p.Message}
	for _, m := range append([]proto.Message{&errdetails.ErrorInfo{Reason: p.Reason, Domain: Domain}}, p.Details...) {
		if a, err := anypb.New(m); err == nil {
			out.Details = append(out.Details, a)
		}
	}
	b, err := proto.Marshal(out)
	if err != nil { // a message of valid UTF-8 and known types always marshals
		return nil
	}
	return b
}

// Decode what Encode made. Bytes that are not from there are an Internal problem.
func Decode(b []byte) *Problem {
	var in status.Status
	if err := proto.Unmarshal(b, &in); err != nil || in.GetCode() == 0 {
		return Wrap(err, Internal, "INTERNAL", "something went wrong on our side")
	}
	p := &Problem{Kind: kindOf(connect.Code(in.GetCode())), Message: in.GetMessage(), Reason: "UNSPECIFIED"}
	for _, a := range in.GetDetails() {
		m, err := a.UnmarshalNew()
		if err != nil {
			continue
		}
		if info, ok := m.(*errdetails.ErrorInfo); ok {
			p.Reason = info.GetReason()
		} else {
			p.Details = append(p.Details, m)
		}
	}
	return p
}
