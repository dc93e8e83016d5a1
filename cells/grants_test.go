package cells

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// published is what the code that makes messages says, by package and by the words of their subject, and which subjects that are:
// those that the cells of a region have for the broker of another, or of their own.
var published = map[string]func(from, to ident.Region) []string{
	`services/order: "fulfillment." + p.GetRegion() + "." + p.GetFcId() + ".requested"`: func(_, to ident.Region) []string {
		return []string{"fulfillment." + string(to) + ".fc1.requested"}
	},
	`services/order: "fulfillment." + p.GetRegion() + "." + p.GetFcId() + ".erased"`: func(_, to ident.Region) []string {
		return []string{"fulfillment." + string(to) + ".fc1.erased"}
	},
	`services/fulfillment: "order." + string(order.Ring()) + "." + kind`: func(_, to ident.Region) []string {
		return []string{"order." + ringCode(to) + ".shipped", "order." + ringCode(to) + ".scanned", "order." + ringCode(to) + ".short"}
	},
	`services/inventory: SubjectTouched(region)`: atHome(func(r ident.Region) []string { return []string{"stock." + string(r) + ".touched"} }),
	`services/inventory: subjectSummarized(s.deps.Region)`: func(from, _ ident.Region) []string {
		return []string{"stock." + string(from) + ".summarized"}
	},
	`services/catalog: SubjectChanged`:    everywhere("catalog.product.changed"),
	`services/review: subjectChanged`:     everywhere("catalog.review.changed"),
	`services/review: subjectVoted`:       everywhere("catalog.review.voted"),
	`services/storefront: SubjectRebuilt`: atHome(func(ident.Region) []string { return []string{"catalog.page.rebuilt"} }),
	`services/search: SubjectLogged(s.deps.Region)`: atHome(func(r ident.Region) []string {
		return []string{"search." + string(r) + ".logged"}
	}),
}

// replayed dead letters go back to the broker they came from, whoever had published them: services/events has their subjects in rows.
const replayed = `services/events: l.subject`

// publishes is all that the cells of a region publish to the broker of another, or of their own.
func publishes(from, to ident.Region) (all []string) {
	for _, subjects := range published {
		all = append(all, subjects(from, to)...)
		for _, other := range ident.Regions() {
			if from == to {
				all = append(all, subjects(other, to)...)
			}
		}
	}
	return all
}

// asked is what the bus asks of a broker at home, to declare and to read streams; as nats.go has it.
func asked(from, to ident.Region) []string {
	if from != to {
		return nil
	}
	return []string{
		"$JS.API.STREAM.CREATE.ORDER", "$JS.API.STREAM.UPDATE.ORDER", "$JS.API.STREAM.INFO.ORDER", "$JS.API.CONSUMER.CREATE.ORDER.order.order.use1.shipped",
		"$JS.API.CONSUMER.INFO.ORDER.order", "$JS.API.CONSUMER.MSG.NEXT.ORDER.order", "$JS.ACK.ORDER.order.1.1.1.1.0",
	}
}

func ringCode(r ident.Region) string { code, _ := r.Code(); return string(code) }

func everywhere(subject string) func(from, to ident.Region) []string {
	return func(ident.Region, ident.Region) []string { return []string{subject} }
}

func atHome(of func(ident.Region) []string) func(from, to ident.Region) []string {
	return func(from, to ident.Region) []string {
		if from != to {
			return nil
		}
		return of(to)
	}
}

// matches tells whether a subject is one of a pattern with NATS's wildcards.
func matches(pattern, subject string) bool {
	words, of := strings.Split(subject, "."), strings.Split(pattern, ".")
	for i, p := range of {
		if p == ">" {
			return len(words) > i
		}
		if i >= len(words) || (p != "*" && p != words[i]) {
			return false
		}
	}
	return len(words) == len(of)
}

func TestAGrantIsWhatServicesNeedAndNoMore(t *testing.T) {
	for source := range literals(t, "Event", "Message") {
		if published[source] == nil && source != replayed {
			t.Errorf("%s is published: add its subjects to this test, and to the grants of internal/bus", source)
		}
	}
	for _, from := range ident.Regions() {
		for _, to := range ident.Regions() {
			used := append(asked(from, to), publishes(from, to)...)
			grant := bus.GrantFor(to, from)
			for _, subject := range used {
				if !slices.ContainsFunc(grant.Publish, func(p string) bool { return matches(p, subject) }) {
					t.Errorf("cells of %s may not publish %s to %s", from, subject, to)
				}
			}
			for _, p := range grant.Publish {
				if !slices.ContainsFunc(used, func(subject string) bool { return matches(p, subject) }) {
					t.Errorf("cells of %s may publish %s to %s, which nobody needs", from, p, to)
				}
			}
			// Whatever is read comes as answers.
			if inbox := "_INBOX." + string(from) + ".>"; !slices.Equal(grant.Subscribe, []string{inbox}) {
				t.Errorf("cells of %s may read %v of %s, and need %s", from, grant.Subscribe, to, inbox)
			}
		}
	}
}

// consumed is what consumers are made with, by package and by the words of their subject, and the subjects that they are for in a
// region.
var consumed = map[string]func(ident.Region) string{
	`cells: "fulfillment." + string(c.region) + ".*.requested"`: func(r ident.Region) string { return "fulfillment." + string(r) + ".*.requested" },
	`cells: "fulfillment." + string(c.region) + ".*.erased"`:    func(r ident.Region) string { return "fulfillment." + string(r) + ".*.erased" },
	`cells: "order." + string(ring) + ".short"`:                 func(r ident.Region) string { return "order." + ringCode(r) + ".short" },
	`cells: "order." + string(ring) + ".shipped"`:               func(r ident.Region) string { return "order." + ringCode(r) + ".shipped" },
	`cells: "order." + string(ring) + ".scanned"`:               func(r ident.Region) string { return "order." + ringCode(r) + ".scanned" },
	`cells: subject`:                     func(r ident.Region) string { return "stock." + string(r) + ".touched" }, // and the next
	`cells: inventory.SubjectSummarized`: func(ident.Region) string { return "stock.*.summarized" },
	`cells: review.Subjects`:             func(ident.Region) string { return "catalog.review.*" },
	`cells: catalog.SubjectChanged`:      func(ident.Region) string { return "catalog.product.changed" },
	`cells: storefront.SubjectRebuilt`:   func(ident.Region) string { return "catalog.page.rebuilt" },
	`internal/feed: subject`:             func(r ident.Region) string { return "search." + string(r) + ".logged" }, // and what others consume
}

func TestWhatIsPublishedIsConsumedAndTheOtherWayRound(t *testing.T) {
	for source, region := range literals(t, "Consumer", "") {
		if consumed[source] == nil {
			t.Errorf("%s is consumed: add its subjects to this test", source)
		}
		if region != "c.region" && region != "region" {
			t.Errorf("%s is consumed in %s: a cell may read its own region's broker, and no other", source, region)
		}
	}
	for _, to := range ident.Regions() {
		used := map[string]bool{}
		for _, from := range ident.Regions() {
			for _, subject := range publishes(from, to) {
				used[subject] = true
			}
		}
		for source, pattern := range consumed {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(used)), func(subject string) bool { return matches(pattern(to), subject) }) {
				t.Errorf("nobody publishes to %s what %s waits for", to, source)
			}
		}
		for subject := range used {
			if !slices.ContainsFunc(slices.Collect(maps.Values(consumed)), func(pattern func(ident.Region) string) bool { return matches(pattern(to), subject) }) {
				t.Errorf("nobody consumes %s in %s", subject, to)
			}
		}
	}
}

// literals of outbox.Event and bus.Message, or of bus.Consumer, that code makes with a subject: by package and subject, with their region.
func literals(t *testing.T, kinds ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"../services/*/*.go", "../cells/*.go", "../internal/feed/*.go", "../internal/notice/*.go", "../internal/saga/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				of, fields := typeOf(literal), fieldsOf(literal)
				if subject := fields["Subject"]; subject != "" && slices.ContainsFunc(kinds, func(k string) bool { return k != "" && slices.Contains([]string{"outbox." + k, "bus." + k}, of) }) {
					found[fmt.Sprintf("%s: %s", strings.TrimPrefix(filepath.Dir(path), "../"), subject)] = fields["Region"]
				}
				return true
			})
		}
	}
	if len(found) == 0 {
		t.Fatalf("no literal of %v is found", kinds)
	}
	return found
}

func typeOf(literal *ast.CompositeLit) string {
	if literal.Type == nil { // an element of a slice: its package's only events
		return "outbox.Event"
	}
	return types.ExprString(literal.Type)
}

func fieldsOf(literal *ast.CompositeLit) map[string]string {
	fields := map[string]string{}
	for _, e := range literal.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			fields[types.ExprString(kv.Key)] = types.ExprString(kv.Value)
		}
	}
	return fields
}
