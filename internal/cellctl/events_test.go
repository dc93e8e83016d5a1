package cellctl

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
)

func TestLagsAndDeadLettersAreShownInColumns(t *testing.T) {
	ago := timestamppb.New(time.Now().Add(-time.Hour))
	var out bytes.Buffer
	if err := lagTable(&out, []*eventsv1.Lag{{Region: "us-east-1", Database: "cellar_customer", Destination: "us-west-2", Pending: 7, Oldest: ago}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "us-east-1  cellar_customer  us-west-2    7        1h0m") {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	lags := []*eventsv1.FeedLag{{Region: "us-east-1", Index: "cellar-orders", Consumer: "feed-orders", Pending: 7, Last: ago}, {Index: "cellar-stock"}}
	if err := feedTable(&out, lags); err != nil || !strings.Contains(out.String(), "us-east-1  cellar-orders  feed-orders  7        1h0m0s ago") || !strings.Contains(out.String(), "never") {
		t.Errorf("got %v\n%s", err, out.String())
	}
	out.Reset()
	letters := []*eventsv1.DeadLetter{{Region: "us-east-1", Consumer: "fulfillment", MessageId: "order/a", Tries: 14, Reason: "panic: x\ngoroutine 1", BuriedAt: ago}}
	if err := letterTable(&out, letters); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "order/a") || !strings.Contains(out.String(), "panic: x") || strings.Contains(out.String(), "goroutine") {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if lagTable(&out, nil) != nil || letterTable(&out, nil) != nil || out.String() != "nothing waits\nthere is none\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestAReplayIsNotBegunByMistake(t *testing.T) {
	for _, args := range [][]string{
		{"outbox", "replay", "--reason", "x"},
		{"outbox", "replay", "--destination", "nowhere", "--reason", "x"},
		{"outbox", "replay", "--destination", "us-east-1"},
		{"outbox", "replay", "--destination", "us-east-1", "--reason", "x", "--since", "25h"},
		{"outbox", "replay", "--destination", "us-east-1", "--reason", "x", "--from", "nowhere"},
		{"outbox", "replay", "--destination", "us-east-1", "--reason", "x"}, // and nothing is typed
		{"dlq", "drop", "us-east-1", "fulfillment", "m"},
		{"dlq", "replay", "us-east-1", "fulfillment", "m", "--reason", "x"},
	} {
		cmd := New()
		cmd.SetArgs(append(args, "--dir", t.TempDir()))
		cmd.SetIn(strings.NewReader("no\n"))
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		if err := cmd.Execute(); Exit(err) != ExitUsage && Exit(err) != ExitUnconfirmed {
			t.Errorf("%v: %v", args, err)
		}
	}
}
