package cellctl

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
)

func TestAHeldReviewIsShownWithoutSteeringTheTerminal(t *testing.T) {
	c := &reviewv1.Contribution{
		ContributionId: "use1-r", Kind: reviewv1.Kind_KIND_REVIEW, Sku: "LAMP", Rating: 4, Title: "Clear\x1b[2J", Text: "one\ntwo\u009b31m " + strings.Repeat("long ", 40), State: reviewv1.State_STATE_HELD,
		HeldFor: []string{"link", "word"}, Version: 3, WrittenAt: timestamppb.New(time.Now().Add(-time.Hour)), ChangedAt: timestamppb.New(time.Now().Add(-time.Minute)),
	}
	var list, shown bytes.Buffer
	if err := reviewTable(&list, []*reviewv1.Contribution{c}); err != nil {
		t.Fatal(err)
	}
	if err := showReview(&shown, c); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{list.String(), shown.String()} {
		if strings.ContainsAny(out, "\x1b\u009b") || !strings.Contains(out, "use1-r") || !strings.Contains(out, "LAMP") {
			t.Errorf("shown is %q", out)
		}
	}
	if !strings.Contains(list.String(), "link,word") || !strings.Contains(list.String(), "…") || strings.Count(list.String(), "\n") != 2 {
		t.Errorf("listed is\n%s", list.String())
	}
	if !strings.Contains(shown.String(), "one\ntwo") || !strings.Contains(shown.String(), "HELD") || !strings.Contains(shown.String(), "1h0m") {
		t.Errorf("shown is\n%s", shown.String())
	}
	list.Reset()
	if err := reviewTable(&list, nil); err != nil || list.String() != "there is none\n" {
		t.Errorf("%v: %q", err, list.String())
	}
}
