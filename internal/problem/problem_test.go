package problem_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAProblemSurvivesTheWire(t *testing.T) {
	sent := problem.New(problem.Precondition, "OUT_OF_STOCK", "too few left",
		&problemv1.OutOfStock{Shortages: []*problemv1.Shortage{{Sku: "A", Requested: 3, Available: 1}}})
	wire := problem.ToConnect(fmt.Errorf("reserve order 1: %w", sent))
	if wire.Code() != connect.CodeFailedPrecondition {
		t.Errorf("code %v", wire.Code())
	}
	err := fmt.Errorf("call inventory: %w", wire)
	if !problem.Is(err, "OUT_OF_STOCK") || problem.KindOf(err) != problem.Precondition {
		t.Errorf("got %v", problem.As(err))
	}
	detail, ok := problem.Detail[*problemv1.OutOfStock](err)
	if !ok || detail.GetShortages()[0].GetAvailable() != 1 {
		t.Errorf("detail %v, %v", detail, ok)
	}
}

func TestDriverTextNeverReachesAClient(t *testing.T) {
	for _, err := range []error{
		errors.New("dial tcp 10.0.0.1: password authentication failed"),
		problem.Wrap(errors.New("secret"), problem.Unavailable, "DB", "try later"),
		context.DeadlineExceeded,
	} {
		if got := problem.ToConnect(err).Message(); strings.Contains(got, "secret") || strings.Contains(got, "password") {
			t.Errorf("the client reads %q", got)
		}
	}
}

func TestViolationsTellEverythingAtOnce(t *testing.T) {
	var v problem.Violations
	v.Check(true, "sku", "is fine")
	if v.Err() != nil {
		t.Fatal("nothing is wrong yet")
	}
	v.Check(false, "quantity", "must be 1 to 999")
	v.Check(false, "sku", "must not be empty")
	detail, _ := problem.Detail[*problemv1.FieldViolations](v.Err())
	if len(detail.GetViolations()) != 2 || problem.KindOf(v.Err()) != problem.Invalid {
		t.Errorf("got %v", v.Err())
	}
}
