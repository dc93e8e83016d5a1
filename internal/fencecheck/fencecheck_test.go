package fencecheck_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/fencecheck"
)

// envOverlay names a file as go build -overlay takes it: defects are put into the code by it.
const envOverlay = "CELLAR_OVERLAY"

// allowed entries write without the fence, each for a reason.
var allowed = map[string]string{
	"internal/fence.Assign":                  "gives slots their first owners",
	"internal/fence.flip":                    "moves slots: it is what the fence waits for",
	"internal/fence.SetOverride":             "moves a customer: it is what the fence waits for",
	"(*internal/lease.Keeper).Take":          "a lease is the region's, and no customer's",
	"(*internal/lease.Keeper).Drop":          "a lease is the region's, and no customer's",
	"(*internal/outbox.Relay).send":          "notes that an event is published, under the lease of its shard; twice does no harm",
	"(*internal/outbox.Relay).forgetPage":    "deletes events that were published days ago, under the lease of their shard",
	"(internal/outbox.Replay).Next":          "makes events pending again, which whoever has had them drops",
	"(*services/checkout.vouchers).redeem":   "the rows are the voucher's and homed with it; a tombstone stops a cell that has lost the customer",
	"(*services/checkout.vouchers).giveBack": "the rows are the voucher's and homed with it; it leaves the tombstone",
	"(*services/payment.Service).issue":      "a gift card belongs to whoever has its code",
	"(*services/review.Service).change":      "the transaction is that of inSlotTx, which is the fence's",

	"(*cells/controlplane.publisher).commit":   "a transaction of cellar_global, which has no rows of customers",
	"(*cells/controlplane.publisher).editCell": "a transaction of cellar_global, which has no rows of customers",
	"(*cells/controlplane.publisher).mark":     "a transaction of cellar_global, which has no rows of customers",
}

var created = regexp.MustCompile(`CREATE TABLE IF NOT EXISTS (\w+)`)

// tables of the customers' database.
func tables(t *testing.T) (names []string) {
	t.Helper()
	b, err := os.ReadFile("../../db/schema/customer.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range created.FindAllStringSubmatch(string(b), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("found only the tables %v", names)
	}
	return names
}

func TestWhatWritesCustomersRowsIsFenced(t *testing.T) {
	p, err := fencecheck.Load(t.Context(), "../..", os.Getenv(envOverlay))
	if err != nil {
		t.Fatal(err)
	}
	offences, reached := p.Check(tables(t))
	used := map[string]bool{}
	for _, o := range offences {
		if allowed[o.In] == "" {
			t.Errorf("%s: %s\n\t%s", o.In, o.What, o.Where)
		}
		used[o.In] = true
	}
	for in := range allowed {
		if !used[in] {
			t.Errorf("%s needs no permission any more", in)
		}
	}
	writing := p.Writing(tables(t))
	if len(writing) < 30 {
		t.Errorf("found only the writing statements %v", writing)
	}
	for _, name := range writing {
		if !reached[name] {
			t.Errorf("%s is run nowhere that the check can see", name)
		}
	}
	if i := slices.IndexFunc(writing, func(n string) bool { return strings.HasPrefix(n, "unknown") }); i >= 0 {
		t.Errorf("a statement has no constant text: %s", writing[i])
	}
}
