package cellctl

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestADecisionIsConfirmedByTypingTheSagasID(t *testing.T) {
	for typed, ok := range map[string]bool{"demo-1\n": true, "demo-1": true, "y\n": false, "demo-2\n": false, "": false} {
		var talk bytes.Buffer
		if err := confirm(strings.NewReader(typed), &talk, "undo", "demo-1"); (err == nil) != ok {
			t.Errorf("%q: %v", typed, err)
		}
		if !strings.Contains(talk.String(), "undo this saga?") {
			t.Errorf("it asks %q", talk.String())
		}
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := confirm(f, &bytes.Buffer{}, "undo", "demo-1"); err == nil {
		t.Error("nobody was there, and it was confirmed")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := confirm(r, &bytes.Buffer{}, "undo", "demo-1"); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("from a pipe: %v", err)
	}
}

func TestASagaIsShownWithItsNotesAndHowLongAgo(t *testing.T) {
	var out bytes.Buffer
	s := &recoveryv1.Saga{
		SagaId: "demo-1", Kind: "demo", CustomerId: "c-use1-x", Ring: "us-east-1", Status: recoveryv1.Status_STATUS_PARKED, ParkedFrom: recoveryv1.Status_STATUS_UNDOING,
		Step: "wait", Tries: 6, LastError: "DEMO_POISONED", CreatedAt: timestamppb.New(time.Now().Add(-time.Hour)), Notes: "one\ntwo\n",
	}
	if err := showSaga(&out, &recoveryv1.GetSagaResponse{Saga: s, State: "{}"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PARKED, was UNDOING", "c-use1-x of us-east-1", "DEMO_POISONED", "1h0m", "note          one\n", "note          two\n", "state {}"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := sagaTable(&out, []*recoveryv1.Saga{s}); err != nil || !strings.Contains(out.String(), "demo-1  demo  PARKED  wait  6") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	out.Reset()
	if err := sagaTable(&out, nil); err != nil || out.String() != "there is none\n" {
		t.Errorf("%v: %q", err, out.String())
	}
}

func TestWhatACellSaysIsShownWithItsReason(t *testing.T) {
	err := said(problem.ToConnect(problem.New(problem.Precondition, "NOT_PARKED", "the saga is DONE")))
	if err == nil || err.Error() != "NOT_PARKED: the saga is DONE" {
		t.Errorf("got %v", err)
	}
	if err := said(nil); err != nil {
		t.Errorf("got %v", err)
	}
}
