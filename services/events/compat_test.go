package events

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
)

var update = flag.Bool("update", false, "write the golden file anew")

const golden = "testdata/events.txt"

// subjects of all events that cells publish.
var subjects = []string{
	"catalog.product.changed", "catalog.page.rebuilt", "catalog.review.changed", "catalog.review.voted", "fulfillment.us-east-1.ATL1.requested", "fulfillment.us-east-1.ATL1.erased", "order.use1.shipped", "order.use1.scanned", "order.use1.short", "stock.us-east-1.touched", "stock.us-east-1.summarized",
	"search.us-east-1.logged",
}

// wire is what old and new releases must agree on about a message and those in it, a field a line: number, kind, name.
func wire(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) (lines []string) {
	if seen[d.FullName()] {
		return nil
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		kind := f.Kind().String()
		switch {
		case f.Message() != nil:
			kind = string(f.Message().FullName())
			lines = append(lines, wire(f.Message(), seen)...)
		case f.Enum() != nil:
			kind = string(f.Enum().FullName())
			for j := range f.Enum().Values().Len() {
				v := f.Enum().Values().Get(j)
				lines = append(lines, fmt.Sprintf("%s = %d %s", kind, v.Number(), v.Name()))
			}
		}
		lines = append(lines, fmt.Sprintf("%s %d %s %s %s", d.FullName(), f.Number(), f.Cardinality(), kind, f.Name()))
	}
	return lines
}

func wires() (lines []string) {
	seen := map[protoreflect.FullName]bool{}
	for _, s := range subjects {
		lines = append(lines, wire(ofSubject(s).ProtoReflect().Descriptor(), seen)...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// missing lines of what was published: fields that are gone, or have another number, type or name.
func missing(published, now []string) (gone []string) {
	for _, line := range published {
		if line != "" && !strings.HasPrefix(line, "#") && !slices.Contains(now, line) {
			gone = append(gone, line)
		}
	}
	return gone
}

// Events lie in outboxes and streams for a day and as dead letters for longer, and while a release rolls out both read them.
func TestEventsOfTheLastReleaseAreStillUnderstood(t *testing.T) {
	now := wires()
	if *update {
		text := "# Fields of events. Lines may be added, by: go test ./services/events -run LastRelease -update. None may go.\n" + strings.Join(now, "\n") + "\n"
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	published := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, line := range missing(published, now) {
		t.Errorf("events that are under way cannot be read any more: %s", line)
	}
	for _, line := range now {
		if !slices.Contains(published, line) {
			t.Errorf("%s is new: add it with the command in %s", line, golden)
		}
	}
}

func TestAFieldThatIsRemovedRenumberedOrOfAnotherTypeIsFound(t *testing.T) {
	published := wire((&fulfillmentv1.ShipmentShipped{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{})
	if len(published) < 6 {
		t.Fatalf("a shipment has only %v", published)
	}
	change := func(from, to string) []string {
		now := slices.Clone(published)
		for i := range now {
			now[i] = strings.Replace(now[i], from, to, 1)
		}
		return now
	}
	for name, now := range map[string][]string{
		"removed":      slices.DeleteFunc(slices.Clone(published), func(s string) bool { return strings.HasSuffix(s, " order_id") }),
		"renumbered":   change("ShipmentShipped 1 ", "ShipmentShipped 99 "),
		"another type": change("string order_id", "bytes order_id"),
		"repeated":     change("optional string order_id", "repeated string order_id"),
	} {
		if gone := missing(published, now); len(gone) != 1 {
			t.Errorf("%s: found %v", name, gone)
		}
	}
	more := append(slices.Clone(published), wire((&catalogv1.ProductChanged{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{})...)
	if gone := missing(published, more); gone != nil {
		t.Errorf("fields were added, and %v are missing", gone)
	}
}
