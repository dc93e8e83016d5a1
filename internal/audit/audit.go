package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Ledger of the card network.
type Ledger interface {
	Ledger(ctx context.Context, after int64, limit int) (cardnetwork.LedgerPage, error)
}

var _ Ledger = (*cardnetwork.Client)(nil)

// Deps of an audit.
type Deps struct {
	// Customers is cellar_customer, Regional is cellar_regional.
	Customers *sqldb.DB
	Regional  *sqldb.DB
	Ledger    Ledger
	Regions   []ident.Region
	Clock     clock.Clock
	// Pause before what looks wrong is looked at again.
	Pause time.Duration
	// Grace is how long work under way may take before it counts as lost or stuck.
	Grace time.Duration
}

// Promise as it was found.
type Promise struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	// Checked things: rows, orders, charges.
	Checked int64 `json:"checked"`
	// Violations, each a sentence that names what is wrong; empty when the promise holds.
	Violations []string `json:"violations"`
}

// Report of an audit.
type Report struct {
	Promises []Promise `json:"promises"`
}

// Clean tells whether every promise holds.
func (r Report) Clean() bool {
	return !slices.ContainsFunc(r.Promises, func(p Promise) bool { return len(p.Violations) > 0 })
}

// Numbers and names of the promises that are audited.
const (
	noOversell     = 1
	noDoubleCharge = 2
	noLostOrder    = 3
	allOrNothing   = 4
	noStuckStock   = 5
	once           = 7
)

var names = map[int]string{
	noOversell: "no oversell", noDoubleCharge: "no double charge", noLostOrder: "no lost order", allOrNothing: "all or nothing",
	noStuckStock: "no stuck stock", once: "once",
}

// maxViolations of one promise that are listed; the last line tells how many more there are.
const maxViolations = 100

// Run an audit. An error means that it could not be done.
func Run(ctx context.Context, deps Deps) (Report, error) {
	first, err := look(ctx, deps)
	if err != nil {
		return Report{}, err
	}
	if first.clean() {
		return first.report(), nil
	}
	if err := deps.Clock.Sleep(ctx, deps.Pause); err != nil {
		return Report{}, err
	}
	second, err := look(ctx, deps)
	if err != nil {
		return Report{}, err
	}
	return second.onlyAlso(first).report(), nil
}

// findings of one look: by promise, what is wrong with what.
type findings struct {
	checked map[int]int64
	wrong   map[int]map[string]string // promise → subject → sentence
}

func newFindings() *findings {
	return &findings{checked: map[int]int64{}, wrong: map[int]map[string]string{}}
}

func (f *findings) add(promise int, subject, format string, args ...any) {
	if f.wrong[promise] == nil {
		f.wrong[promise] = map[string]string{}
	}
	f.wrong[promise][subject] = subject + ": " + fmt.Sprintf(format, args...)
}

func (f *findings) clean() bool { return len(f.wrong) == 0 }

// onlyAlso keeps what an earlier look has found wrong with the same subject.
func (f *findings) onlyAlso(earlier *findings) *findings {
	out := &findings{checked: f.checked, wrong: map[int]map[string]string{}}
	for promise, subjects := range f.wrong {
		for subject, sentence := range subjects {
			if _, before := earlier.wrong[promise][subject]; before {
				if out.wrong[promise] == nil {
					out.wrong[promise] = map[string]string{}
				}
				out.wrong[promise][subject] = sentence
			}
		}
	}
	return out
}

func (f *findings) report() Report {
	var r Report
	for _, n := range []int{noOversell, noDoubleCharge, noLostOrder, allOrNothing, noStuckStock, once} {
		p := Promise{Number: n, Name: names[n], Checked: f.checked[n], Violations: []string{}}
		for _, sentence := range f.wrong[n] {
			p.Violations = append(p.Violations, sentence)
		}
		slices.Sort(p.Violations)
		if more := len(p.Violations) - maxViolations; more > 0 {
			p.Violations = append(p.Violations[:maxViolations], fmt.Sprintf("and %d more", more))
		}
		r.Promises = append(r.Promises, p)
	}
	return r
}

// look at everything once. Orders are kept in memory as some hundred bytes each: a day of a region's orders fits.
func look(ctx context.Context, deps Deps) (*findings, error) {
	f := newFindings()
	now := deps.Clock.Now()
	for _, region := range deps.Regions {
		if err := lookAtStock(ctx, deps, f, region); err != nil {
			return nil, fmt.Errorf("audit %s: %w", region, err)
		}
	}
	// Orders before what hangs on them: what is read later may only have gone further.
	orders, err := readOrders(ctx, deps, f)
	if err != nil {
		return nil, fmt.Errorf("audit orders: %w", err)
	}
	if err := readReservations(ctx, deps, f, orders, now); err != nil {
		return nil, fmt.Errorf("audit reservations: %w", err)
	}
	if err := readShipments(ctx, deps, f, orders); err != nil {
		return nil, fmt.Errorf("audit shipments: %w", err)
	}
	if err := readReturned(ctx, deps, orders); err != nil {
		return nil, fmt.Errorf("audit returns: %w", err)
	}
	if err := readPayments(ctx, deps, f, orders); err != nil {
		return nil, fmt.Errorf("audit payments: %w", err)
	}
	for _, region := range deps.Regions {
		if err := lookAtVouchers(ctx, deps, f, region, orders); err != nil {
			return nil, fmt.Errorf("audit the vouchers of %s: %w", region, err)
		}
	}
	if err := lookAtBooks(ctx, deps, f); err != nil {
		return nil, fmt.Errorf("audit the ledger of gift cards and wallets: %w", err)
	}
	if err := readLedger(ctx, deps, f, orders); err != nil {
		return nil, fmt.Errorf("audit the card network: %w", err)
	}
	for id, o := range orders {
		o.check(f, id, now, deps.Grace)
	}
	return f, nil
}

func short(lines []string) string { return strings.Join(lines[:min(len(lines), 5)], ", ") }
