package cells

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	optionsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/options/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1" // so that its methods are among those that are looked at
	"github.com/cellar-commerce/cellar/internal/rpc"
)

var discard = slog.New(slog.DiscardHandler)

// exempt methods change something, but nothing of a customer's.
var exempt = map[string]string{
	"/cellar.catalog.":     "products are everybody's",
	"/cellar.inventory.":   "stock is its region's",
	"/cellar.fulfillment.": "parcels are the region's of their centre",
	"/cellar.topology.":    "the map is the control plane's",
	"/cellar.events.":      "an event that goes out, or comes in, once more counts once",
	"/cellar.checkout.v1.CheckoutService/CreateVoucher":  "vouchers are everybody's",
	"/cellar.checkout.v1.CheckoutService/DisableVoucher": "vouchers are everybody's",
	"/cellar.payment.v1.PaymentService/IssueGiftCard":    "a gift card is whoever's that has its code",
	// Nobody says who signs in, and nothing is kept.
	"/cellar.account.v1.AccountService/PreparePasskeySignIn": "what a browser is asked is of nobody",
}

func exempted(procedure string) bool {
	for prefix := range exempt {
		if strings.HasPrefix(procedure, prefix) {
			return true
		}
	}
	return false
}

// mutating methods of all that is linked into a cell, and of the control plane.
func mutating() (procedures []string) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				procedure := "/" + string(file.Services().Get(i).FullName()) + "/" + string(methods.Get(j).Name())
				if m, _ := rpc.MethodOf(procedure); strings.HasPrefix(procedure, "/cellar.") && !m.NoSideEffects {
					procedures = append(procedures, procedure)
				}
			}
		}
		return true
	})
	slices.Sort(procedures)
	return procedures
}

// moved is a case: something that a cell does for a customer. It is done while the rows say that the customer is another
// cell's, and must change nothing; then the rows give the customer back, and it must change something, so that the first
// half means something. What it leaves there is what later cases begin with.
type moved struct {
	name string
	// procedure of a method, with its request; or what does it, which tells an error.
	procedure string
	req       func() proto.Message
	into      proto.Message
	token     func() string
	key       string // Idempotency-Key
	do        func() error
	// silent: it is no fault that nobody is told; nothing must change all the same.
	silent bool
	// idle: it changes nothing for the owner either.
	idle bool
	// before and after the case.
	before, after func()
}

func TestACellThatHasLostACustomerChangesNothingOfIts(t *testing.T) {
	s := newStale(t)
	cases := append(append(s.shopping(), s.working()...), s.ways()...)
	s.everyWorker(cases)
	covered := map[string]bool{}
	for _, c := range cases {
		s.run(c)
		covered[c.procedure] = true
		if t.Failed() {
			t.FailNow() // what follows builds on it
		}
	}
	for _, procedure := range mutating() {
		m, _ := rpc.MethodOf(procedure)
		switch {
		case exempted(procedure) && m.Ownership != optionsv1.Ownership_OWNERSHIP_UNSPECIFIED:
			t.Errorf("%s is exempt, and needs the customer's owner", procedure)
		case !exempted(procedure) && !covered[procedure]:
			t.Errorf("%s has no case here: say what it does when the customer is another cell's", procedure)
		}
	}
}

// workers of a cell, and which cases stand for what they do to customers' rows.
var workers = map[string]string{
	"map":                  "writes nothing",
	"events of customers":  "notes what is published, under a lease of the region",
	"events of the region": "of the region's database",
	"events of everybody":  "of the global database",
	"flow of events":       "writes nothing",
	"placements":           "a placement whose slot moves on the way",
	"what follows orders":  "the sweep of what follows orders",
	"demos":                "the sweep of demos",
	"notifications":        "the sweep of notifications",
	"erasures":             "the sweep of erasures",
	"idempotency keys":     "the sweep of idempotency keys",
	"holds":                "of the region's database",
	"inbox":                "of the region's database",
	"logs of searches":     "writes nothing",
	"feed":                 "reads streams, under a lease of the region",
	"shipping":             "of the region's database",
	"pages":                "of the region's database",
	"changed products":     "of the index in memory",
	"events":               "the consumers of short picks, of shipments and of scans; the others are of the region's database",
	"index":                "in memory",
	"reports":              "tells the control plane which map this cell has",
}

// everyWorker is in that list, and each case that it names is there.
func (s *stale) everyWorker(cases []moved) {
	s.Helper()
	running := map[string]bool{}
	for _, w := range s.cell.workers() {
		running[w.Name] = true
		if workers[w.Name] == "" {
			s.Errorf("the worker of %q is new: say what it does when a customer is another cell's", w.Name)
		}
	}
	for name, why := range workers {
		if !running[name] {
			s.Errorf("there is no worker of %q any more", name)
		}
		sweeps := strings.Contains(why, "sweep of") || strings.Contains(why, "placement")
		if sweeps && !slices.ContainsFunc(cases, func(c moved) bool { return c.name == why }) {
			s.Errorf("the worker of %q has no case %q", name, why)
		}
	}
}

func (s *stale) run(c moved) {
	s.Helper()
	name := c.name
	if name == "" {
		name = c.procedure
	}
	if c.before != nil {
		c.before()
	}
	s.give(winner)
	before := s.contents()
	refusal := s.try(c, true)
	if tables := changed(before, s.contents()); len(tables) > 0 {
		s.Errorf("%s: a cell that has lost the customer changes %v", name, tables)
	}
	if !c.silent && !strings.Contains(refusal, "owner="+winner+";") {
		s.Errorf("%s: a cell that has lost the customer answers %q", name, refusal)
	}
	s.give(loser)
	before = s.contents()
	if refusal := s.try(c, false); refusal != "" {
		s.Errorf("%s: the owner answers %s", name, refusal)
	}
	if tables := changed(before, s.contents()); (len(tables) == 0) != c.idle {
		s.Errorf("%s: the owner changes %v", name, tables)
	}
	s.again(c, name)
	if c.after != nil {
		c.after()
	}
}

// touched by whoever writes, also when it says the same: the row by which a cart is locked.
const touched = "cart_changes"

// again what is declared to be the same again: nothing is done twice, and the answer is the first one. (Of a silent case the
// answer is a new one each time: a session, or a quote.)
func (s *stale) again(c moved, name string) {
	s.Helper()
	m, known := rpc.MethodOf(c.procedure)
	repeatable := m.Idempotent || (m.IdempotentByKey && c.key != "")
	if !known || c.do != nil || !repeatable {
		return
	}
	first, before := s.answered, s.contents()
	if refusal := s.try(c, true); refusal != "" {
		s.Errorf("%s, again: the owner answers %s", name, refusal)
	}
	after := s.contents()
	after[touched] = before[touched]
	if tables := changed(before, after); len(tables) > 0 {
		s.Errorf("%s, again: the owner changes %v", name, tables)
	}
	if !c.silent && s.answered != first {
		s.Errorf("%s, again: answered\n%s\nafter\n%s", name, s.answered, first)
	}
}

// try a case; gives the redirect that it is answered, or any other refusal.
func (s *stale) try(c moved, lost bool) string {
	s.Helper()
	if c.do != nil {
		if err := c.do(); err != nil {
			return wrongCell(err)
		}
		return ""
	}
	header := http.Header{}
	if c.key != "" {
		header.Set("Idempotency-Key", c.key)
	}
	token := ""
	if c.token != nil {
		token = c.token()
	}
	into := c.into
	if lost {
		into = nil
	}
	resp := s.ask(c.procedure, token, header, c.req(), into)
	if to := resp.Header.Get(rpc.WrongCellHeader); to != "" || resp.StatusCode == http.StatusOK {
		return to
	}
	text, _ := io.ReadAll(resp.Body)
	return resp.Status + " " + string(text)
}
