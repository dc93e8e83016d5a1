package checkout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cellar-commerce/cellar/internal/clock"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// Case 14.
func TestManyWhoRedeemAtOnceTakeAVoucherExactlyAsOftenAsItMayBe(t *testing.T) {
	const limit, shoppers = 7, 48
	global, customers := sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Customer)
	cells := []counter{counterOn(global, customers, clock.NewManual(noon)), counterOn(global, customers, clock.NewManual(noon))}
	cells[0].create(t, &checkoutv1.Voucher{Code: "RUSH", PercentBasisPoints: 50_00, MaxRedemptions: limit})
	var won, lost atomic.Int64
	var winners sync.Map
	var all sync.WaitGroup
	for i := range shoppers {
		all.Go(func() {
			cell, p := cells[i%2], placingAnew("RUSH")
			switch err := cell.redeemVoucher(context.Background(), p); {
			case err == nil:
				won.Add(1)
				winners.Store(p.GetOrderId(), p)
			case problem.Is(err, "VOUCHER_USED_UP"):
				lost.Add(1)
				// The saga undoes the step that was refused, too, and may do so twice.
				if err := errors.Join(cell.unredeemVoucher(context.Background(), p), cell.unredeemVoucher(context.Background(), p)); err != nil {
					t.Error(err)
				}
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != limit || lost.Load() != shoppers-limit || cells[0].redeemed(t, "RUSH") != limit {
		t.Fatalf("%d won, %d lost, %d are counted", won.Load(), lost.Load(), cells[0].redeemed(t, "RUSH"))
	}
	// The losers have given nothing back that was not theirs: it is still used up, and the winners still have it.
	if err := cells[1].redeemVoucher(t.Context(), placingAnew("RUSH")); !problem.Is(err, "VOUCHER_USED_UP") {
		t.Errorf("one more: %v", err)
	}
	var one *checkoutv1.PlacementState
	winners.Range(func(_, p any) bool {
		one = p.(*checkoutv1.PlacementState)
		if err := cells[1].redeemVoucher(context.Background(), one); err != nil {
			t.Errorf("a winner, again: %v", err)
		}
		return true
	})
	if err := errors.Join(cells[0].unredeemVoucher(t.Context(), one), cells[1].unredeemVoucher(t.Context(), one)); err != nil {
		t.Fatal(err)
	}
	if err := cells[0].redeemVoucher(t.Context(), placingAnew("RUSH")); err != nil {
		t.Errorf("what one gives back another can have: %v", err)
	}
	if err := cells[0].redeemVoucher(t.Context(), placingAnew("RUSH")); !problem.Is(err, "VOUCHER_USED_UP") {
		t.Errorf("what one gives back two can have: %v", err)
	}
}

func TestACustomerInManyTabsRedeemsAsOftenAsACustomerMay(t *testing.T) {
	c, customer := newCounter(t), ident.NewCustomer("usw2")
	c.create(t, &checkoutv1.Voucher{Code: "TWICE", PercentBasisPoints: 50_00, MaxPerCustomer: 2, MaxRedemptions: 100})
	var won, lost atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch err := c.redeemVoucher(context.Background(), placing("TWICE", customer)); {
			case err == nil:
				won.Add(1)
			case problem.Is(err, "VOUCHER_USED_BY_YOU"):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 2 || lost.Load() != 14 || c.redeemed(t, "TWICE") != 2 {
		t.Errorf("%d won, %d lost, %d are counted", won.Load(), lost.Load(), c.redeemed(t, "TWICE"))
	}
	p, err := c.vouchers.find(t.Context(), "TWICE")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := readUses(t.Context(), c.deps.DB, p, everybody); err != nil || all != 2 { // the losers' uses were rolled back
		t.Errorf("%d uses in all, %v", all, err)
	}
}

func TestARedemptionThatComesAfterItsUndoIsRefused(t *testing.T) {
	c, p := newCounter(t), placingAnew("LATE")
	c.create(t, &checkoutv1.Voucher{Code: "LATE", PercentBasisPoints: 50_00, MaxRedemptions: 1})
	for range 2 {
		if err := c.unredeemVoucher(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := c.redeemVoucher(t.Context(), p); !problem.Is(err, "VOUCHER_GIVEN_BACK") || problem.KindOf(err) != problem.Precondition {
			t.Errorf("%v", err)
		}
	}
	if err := c.redeemVoucher(t.Context(), placingAnew("LATE")); err != nil || c.redeemed(t, "LATE") != 1 {
		t.Errorf("%v, %d", err, c.redeemed(t, "LATE"))
	}
}

func TestARedemptionAndItsUndoAtOnceLeaveNothing(t *testing.T) {
	c := newCounter(t)
	c.create(t, &checkoutv1.Voucher{Code: "BOTH", PercentBasisPoints: 50_00, MaxRedemptions: 1, MaxPerCustomer: 1})
	for range 40 {
		p := placingAnew("BOTH")
		var both sync.WaitGroup
		both.Go(func() {
			if err := c.redeemVoucher(context.Background(), p); err != nil && !problem.Is(err, "VOUCHER_GIVEN_BACK") {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := c.unredeemVoucher(context.Background(), p); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if n := c.redeemed(t, "BOTH"); n != 0 {
			t.Fatalf("%d are counted", n)
		}
	}
	if err := c.redeemVoucher(t.Context(), placingAnew("BOTH")); err != nil {
		t.Errorf("the uses were not given back: %v", err)
	}
}

// The undo comes when the redemption has written its row and not committed it yet: it has to wait, and then to find it.
func TestAnUndoThatMeetsARedemptionOnItsWayWaitsForIt(t *testing.T) {
	reached, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	c := newCounter(t, sqldbtest.WithFaults(func(at sqldb.Point) error {
		if at == sqldb.BeforeCommit {
			first.Do(func() { close(reached); <-goOn })
		}
		return nil
	}))
	c.create(t, &checkoutv1.Voucher{Code: "MEET", PercentBasisPoints: 50_00, MaxRedemptions: 1})
	p, done := placingAnew("MEET"), make(chan error, 2)
	go func() { done <- c.redeemVoucher(context.Background(), p) }()
	<-reached
	go func() { done <- c.unredeemVoucher(context.Background(), p) }()
	for waiting := int64(0); waiting == 0; {
		rows, err := c.deps.DB.QueryText(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			if err := rows.Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
		rows.Close()
	}
	close(goOn)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
	if n := c.redeemed(t, "MEET"); n != 0 {
		t.Errorf("%d are counted", n)
	}
	if err := c.redeemVoucher(t.Context(), placingAnew("MEET")); err != nil {
		t.Errorf("it was not given back: %v", err)
	}
}
