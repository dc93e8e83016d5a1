package checkout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// counter is what a cell needs to deal with vouchers.
type counter struct {
	*Service
	clock *clock.Manual
}

func newCounter(t *testing.T, options ...sqldbtest.Option) counter {
	t.Helper()
	return counterOn(sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Customer, options...), clock.NewManual(noon))
}

func counterOn(global, customers *sqldb.DB, c *clock.Manual) counter {
	deps := Deps{Global: global, DB: customers, Clock: c, Log: slog.New(slog.DiscardHandler), PrimaryRegion: "us-east-1"}
	return counter{&Service{deps: deps, vouchers: newVouchers(deps)}, c}
}

func (c counter) create(t *testing.T, v *checkoutv1.Voucher) *checkoutv1.Voucher {
	t.Helper()
	resp, err := c.CreateVoucher(t.Context(), &checkoutv1.CreateVoucherRequest{Voucher: v})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetVoucher()
}

func (c counter) redeemed(t interface{ Fatalf(string, ...any) }, code string) int64 {
	resp, err := c.GetVoucher(context.Background(), &checkoutv1.GetVoucherRequest{Code: code})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return resp.GetRedeemed()
}

// placing an order with a voucher.
func placing(code string, customer ident.CustomerID) *checkoutv1.PlacementState {
	return &checkoutv1.PlacementState{OrderId: string(ident.NewOrder("use1")), Quote: &checkoutv1.QuoteSnapshot{VoucherCode: code, CustomerId: string(customer)}}
}

func placingAnew(code string) *checkoutv1.PlacementState {
	return placing(code, ident.NewCustomer("euc1"))
}

func TestAVoucherIsKeptAsItWasDefined(t *testing.T) {
	c := newCounter(t)
	v := &checkoutv1.Voucher{
		Code: " spring-5", AmountOff: money.USD(5_00).Proto(), Minimum: money.USD(20_00).Proto(), Categories: []string{"Toys", "Home > Kitchen"},
		ValidFrom: timestamppb.New(noon.Add(time.Hour)), ValidUntil: timestamppb.New(noon.Add(48*time.Hour + 1500*time.Nanosecond)), MaxRedemptions: 7, MaxPerCustomer: 1, HomeRegion: "eu-central-1",
	}
	made := c.create(t, v)
	if made.GetCode() != "SPRING-5" || made.GetHomeRegion() != "eu-central-1" || !made.GetCreatedAt().AsTime().Equal(noon) || made.GetDisabled() ||
		made.GetMinimum().GetMinorUnits() != 20_00 || len(made.GetCategories()) != 2 || made.GetPercentBasisPoints() != 0 {
		t.Errorf("%v", made)
	}
	c.create(t, v) // again
	simple := c.create(t, &checkoutv1.Voucher{Code: "TEN", PercentBasisPoints: 10_00})
	if simple.GetValidUntil() != nil || simple.GetAmountOff() != nil || simple.GetMinimum() != nil || simple.GetHomeRegion() != "us-east-1" || !simple.GetValidFrom().AsTime().Equal(noon) {
		t.Errorf("%v", simple)
	}
	c.clock.Advance(time.Hour)
	c.create(t, &checkoutv1.Voucher{Code: "TEN", PercentBasisPoints: 10_00}) // "from now" is not another content
	if _, err := c.CreateVoucher(t.Context(), &checkoutv1.CreateVoucherRequest{Voucher: &checkoutv1.Voucher{Code: "TEN", PercentBasisPoints: 90_00}}); !problem.Is(err, "VOUCHER_EXISTS") || problem.KindOf(err) != problem.AlreadyExists {
		t.Errorf("another content: %v", err)
	}
	if _, err := c.GetVoucher(t.Context(), &checkoutv1.GetVoucherRequest{Code: "NONE"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("none: %v", err)
	}
	if _, err := c.DisableVoucher(t.Context(), &checkoutv1.DisableVoucherRequest{Code: "NONE"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("none: %v", err)
	}
}

func TestWhatIsNoVoucherIsRefusedByField(t *testing.T) {
	c := newCounter(t)
	percent := func(change func(*checkoutv1.Voucher)) *checkoutv1.Voucher {
		v := &checkoutv1.Voucher{Code: "GOOD", PercentBasisPoints: 1}
		change(v)
		return v
	}
	for name, v := range map[string]*checkoutv1.Voucher{
		"nothing":           nil,
		"a short code":      percent(func(v *checkoutv1.Voucher) { v.Code = "A" }),
		"a code with a gap": percent(func(v *checkoutv1.Voucher) { v.Code = "A B C" }),
		"neither":           percent(func(v *checkoutv1.Voucher) { v.PercentBasisPoints = 0 }),
		"both":              percent(func(v *checkoutv1.Voucher) { v.AmountOff = money.USD(1).Proto() }),
		"more than all":     percent(func(v *checkoutv1.Voucher) { v.PercentBasisPoints = money.WholePercent + 1 }),
		"less than nothing": percent(func(v *checkoutv1.Voucher) { v.PercentBasisPoints = -1 }),
		"a fee": percent(func(v *checkoutv1.Voucher) {
			v.PercentBasisPoints, v.AmountOff = 0, money.USD(-1).Proto()
		}),
		"two currencies": percent(func(v *checkoutv1.Voucher) {
			v.PercentBasisPoints, v.AmountOff, v.Minimum = 0, money.USD(1).Proto(), &moneyv1.Money{CurrencyCode: "EUR", MinorUnits: 1}
		}),
		"over before it began": percent(func(v *checkoutv1.Voucher) { v.ValidUntil = timestamppb.New(noon) }),
		"a negative limit":     percent(func(v *checkoutv1.Voucher) { v.MaxRedemptions = -1 }),
		"a region of the moon": percent(func(v *checkoutv1.Voucher) { v.HomeRegion = "moon-1" }),
		"a category of none":   percent(func(v *checkoutv1.Voucher) { v.Categories = []string{""} }),
		"a limited promotion":  percent(func(v *checkoutv1.Voucher) { v.Automatic, v.MaxRedemptions = true, 1 }),
	} {
		if _, err := c.CreateVoucher(t.Context(), &checkoutv1.CreateVoucherRequest{Voucher: v}); !problem.Is(err, "INVALID_FIELDS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAVoucherThatCannotBeUsedIsRefusedAtTheQuoteWithItsReason(t *testing.T) {
	c, customer := newCounter(t), ident.NewCustomer("use1")
	c.create(t, &checkoutv1.Voucher{Code: "LATER", PercentBasisPoints: 1, ValidFrom: timestamppb.New(noon.Add(time.Hour))})
	c.create(t, &checkoutv1.Voucher{Code: "OVER", PercentBasisPoints: 1, ValidFrom: timestamppb.New(noon.Add(-time.Hour)), ValidUntil: timestamppb.New(noon)})
	c.create(t, &checkoutv1.Voucher{Code: "GONE", PercentBasisPoints: 1})
	c.create(t, &checkoutv1.Voucher{Code: "SELF", PercentBasisPoints: 1, Automatic: true})
	c.create(t, &checkoutv1.Voucher{Code: "ONCE", PercentBasisPoints: 1, MaxPerCustomer: 1})
	c.create(t, &checkoutv1.Voucher{Code: "FEW", PercentBasisPoints: 1, MaxRedemptions: 1})
	if _, err := c.DisableVoucher(t.Context(), &checkoutv1.DisableVoucherRequest{Code: "gone"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*checkoutv1.PlacementState{placing("ONCE", customer), placingAnew("FEW")} {
		if err := c.redeemVoucher(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []struct {
		code, reason string
		customer     ident.CustomerID
	}{
		{"LATER", "VOUCHER_NOT_YET_VALID", customer}, {"OVER", "VOUCHER_EXPIRED", customer}, {"GONE", "VOUCHER_DISABLED", customer},
		{"SELF", "VOUCHER_UNKNOWN", customer}, {"NONE", "VOUCHER_UNKNOWN", customer}, {"?", "VOUCHER_UNKNOWN", customer},
		{"ONCE", "VOUCHER_USED_BY_YOU", customer}, {"ONCE", "VOUCHER_NEEDS_ACCOUNT", ident.NewGuest("use1")}, {"FEW", "VOUCHER_USED_UP", customer},
	} {
		if _, err := c.vouchers.redeemable(t.Context(), r.code, r.customer); !problem.Is(err, r.reason) || problem.KindOf(err) != problem.Precondition {
			t.Errorf("%s: %v, not %s", r.code, err, r.reason)
		}
	}
	if _, err := c.vouchers.redeemable(t.Context(), "ONCE", ident.NewCustomer("use1")); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	lines := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(10_00, 1)}}
	for reason, p := range map[string]promotion{
		"VOUCHER_NOT_FOR_THESE":       {code: "A", percent: 1, categories: []string{"Toy"}},
		"VOUCHER_MINIMUM_NOT_REACHED": {code: "A", percent: 1, minimum: money.USD(10_01)},
		"VOUCHER_OTHER_CURRENCY":      {code: "A", amount: money.Amount{Minor: 1, Currency: "EUR"}},
	} {
		if err := terms(lines, []string{"Toys > Dolls"}, nil, &p, noon); !problem.Is(err, reason) {
			t.Errorf("%v, not %s", err, reason)
		}
	}
}

func TestAnAnswerThatIsLostCountsOnce(t *testing.T) {
	var lose atomic.Bool
	c := newCounter(t, sqldbtest.WithFaults(func(at sqldb.Point) error {
		if at == sqldb.AfterCommit && lose.CompareAndSwap(true, false) {
			return errors.New("injected: the answer is lost")
		}
		return nil
	}))
	c.create(t, &checkoutv1.Voucher{Code: "ONE", PercentBasisPoints: 50_00, MaxRedemptions: 1})
	p := placingAnew("ONE")
	lose.Store(true)
	if err := c.redeemVoucher(t.Context(), p); err == nil || problem.KindOf(err) == problem.Precondition {
		t.Errorf("a lost answer is told as %v", err)
	}
	if err := c.redeemVoucher(t.Context(), p); err != nil || c.redeemed(t, "ONE") != 1 {
		t.Errorf("again: %v, %d are counted", err, c.redeemed(t, "ONE"))
	}
	lose.Store(true)
	if err := c.unredeemVoucher(t.Context(), p); err == nil {
		t.Error("a lost answer is told as success")
	}
	if err := c.unredeemVoucher(t.Context(), p); err != nil || c.redeemed(t, "ONE") != 0 {
		t.Errorf("%v, %d are counted", err, c.redeemed(t, "ONE"))
	}
	if err := c.redeemVoucher(t.Context(), placingAnew("ONE")); err != nil {
		t.Errorf("it was given back once: %v", err)
	}
}

// Orders that redeem and give back in any order, against a model.
func TestAnyHistoryOfRedemptionsIsWhatTheModelSays(t *testing.T) {
	c := newCounter(t)
	rounds := 0
	rapid.Check(t, func(t *rapid.T) {
		rounds++
		code := fmt.Sprintf("MODEL-%d", rounds)
		most, each := rapid.Int64Range(0, 4).Draw(t, "most"), rapid.Int64Range(0, 2).Draw(t, "each")
		if _, err := c.CreateVoucher(context.Background(), &checkoutv1.CreateVoucherRequest{Voucher: &checkoutv1.Voucher{Code: code, PercentBasisPoints: 1, MaxRedemptions: most, MaxPerCustomer: each}}); err != nil {
			t.Fatalf("%v", err)
		}
		customers := []ident.CustomerID{ident.NewCustomer("use1"), ident.NewCustomer("euc1")}
		var orders []*checkoutv1.PlacementState
		for i := range 6 {
			orders = append(orders, placing(code, customers[i%2]))
		}
		state, all, own := map[int]string{}, int64(0), [2]int64{}
		for range rapid.IntRange(1, 14).Draw(t, "commands") {
			i := rapid.IntRange(0, len(orders)-1).Draw(t, "order")
			if rapid.Bool().Draw(t, "undo") {
				if err := c.unredeemVoucher(context.Background(), orders[i]); err != nil {
					t.Fatalf("%v", err)
				}
				if state[i] == redeemed {
					all, own[i%2] = all-1, own[i%2]-1
				}
				state[i] = givenBack
				continue
			}
			want := ""
			switch {
			case state[i] == givenBack:
				want = "VOUCHER_GIVEN_BACK"
			case state[i] == redeemed:
			case each > 0 && own[i%2] >= each:
				want = "VOUCHER_USED_BY_YOU"
			case most > 0 && all >= most:
				want = "VOUCHER_USED_UP"
			default:
				all, own[i%2], state[i] = all+1, own[i%2]+1, redeemed
			}
			if err := c.redeemVoucher(context.Background(), orders[i]); (want == "") != (err == nil) || (want != "" && !problem.Is(err, want)) {
				t.Fatalf("order %d: %v, not %q", i, err, want)
			}
		}
		if got := c.redeemed(t, code); got != all {
			t.Fatalf("%d are counted, not %d", got, all)
		}
	})
}

func TestAnOrderWithoutAVoucherAsksNoDatabase(t *testing.T) {
	c := counterOn(nil, nil, clock.NewManual(noon))
	if err := errors.Join(c.redeemVoucher(t.Context(), placingAnew("")), c.unredeemVoucher(t.Context(), placingAnew(""))); err != nil {
		t.Error(err)
	}
}

func TestAVoucherThatEndsAfterTheQuoteIsGoodAsLongAsTheQuote(t *testing.T) {
	c := newCounter(t)
	c.create(t, &checkoutv1.Voucher{Code: "EVE", PercentBasisPoints: 1, ValidUntil: timestamppb.New(noon.Add(time.Minute))})
	c.clock.Advance(quoteLifetime + time.Minute - time.Second)
	kept := placingAnew("EVE")
	if err := c.redeemVoucher(t.Context(), kept); err != nil {
		t.Errorf("the last second of the last quote: %v", err)
	}
	c.clock.Advance(time.Second)
	if err := c.redeemVoucher(t.Context(), placingAnew("EVE")); !problem.Is(err, "VOUCHER_EXPIRED") {
		t.Errorf("%v", err)
	}
	if err := c.redeemVoucher(t.Context(), kept); err != nil {
		t.Errorf("what was redeemed in time stays so: %v", err)
	}
}

func TestAChangeCountsEverywhereWithinAMinute(t *testing.T) {
	global, customers, now := sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Customer), clock.NewManual(noon)
	here, there := counterOn(global, customers, now), counterOn(global, customers, now)
	here.create(t, &checkoutv1.Voucher{Code: "BYE", PercentBasisPoints: 1})
	here.create(t, &checkoutv1.Voucher{Code: "ALL", PercentBasisPoints: 1, Automatic: true})
	customer := ident.NewCustomer("use1")
	if _, err := there.vouchers.redeemable(t.Context(), "BYE", customer); err != nil {
		t.Fatalf("a new one is known at once: %v", err)
	}
	if list, err := there.vouchers.standing(t.Context()); err != nil || len(list) != 1 || list[0].code != "ALL" {
		t.Fatalf("%v, %v", list, err)
	}
	for _, code := range []string{"BYE", "ALL"} {
		if _, err := here.DisableVoucher(t.Context(), &checkoutv1.DisableVoucherRequest{Code: code}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := here.vouchers.redeemable(t.Context(), "BYE", customer); !problem.Is(err, "VOUCHER_DISABLED") {
		t.Errorf("here: %v", err)
	}
	now.Advance(definitionsFor)
	if _, err := there.vouchers.redeemable(t.Context(), "BYE", customer); !problem.Is(err, "VOUCHER_DISABLED") {
		t.Errorf("there: %v", err)
	}
	if list, err := there.vouchers.standing(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestThePromotionsThatAreInForceAreListed(t *testing.T) {
	c := newCounter(t)
	c.create(t, &checkoutv1.Voucher{Code: "ALL", PercentBasisPoints: 5_00, Automatic: true})
	c.create(t, &checkoutv1.Voucher{Code: "HOME", PercentBasisPoints: 10_00, Automatic: true, Categories: []string{"Home"}, ValidFrom: timestamppb.New(noon.Add(time.Hour)), ValidUntil: timestamppb.New(noon.Add(2 * time.Hour))})
	c.create(t, &checkoutv1.Voucher{Code: "WHO-KNOWS-IT", PercentBasisPoints: 50_00})
	for _, want := range []string{"[ALL]", "[HOME ALL]", "[ALL]"} {
		resp, err := c.ListPromotions(t.Context(), &checkoutv1.ListPromotionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, p := range resp.GetPromotions() {
			codes = append(codes, p.GetCode())
		}
		if got := fmt.Sprint(codes); got != want {
			t.Errorf("at %s it lists %s, want %s", c.clock.Now(), got, want)
		}
		c.clock.Advance(time.Hour)
	}
}

func TestDefinitionsOutliveTheirDatabase(t *testing.T) {
	_, url := sqldbtest.NewWithURL(t, sqldb.Global)
	borrowed := sqldbtest.Reopen(t, sqldb.Global, url)
	c := counterOn(borrowed, sqldbtest.New(t, sqldb.Customer), clock.NewManual(noon))
	c.create(t, &checkoutv1.Voucher{Code: "OLD", PercentBasisPoints: 1})
	c.create(t, &checkoutv1.Voucher{Code: "ALL", PercentBasisPoints: 1, Automatic: true})
	customer := ident.NewCustomer("use1")
	ask := func() error {
		_, first := c.vouchers.redeemable(t.Context(), "OLD", customer)
		list, second := c.vouchers.standing(t.Context())
		if second == nil && len(list) != 1 {
			t.Errorf("%v", list)
		}
		return errors.Join(first, second)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	borrowed.Close()
	c.clock.Advance(time.Hour)
	if err := ask(); err != nil {
		t.Errorf("what was known is forgotten: %v", err)
	}
	if _, err := c.vouchers.redeemable(t.Context(), "NEW", customer); err == nil || problem.Is(err, "VOUCHER_UNKNOWN") {
		t.Errorf("what cannot be looked up is not unknown: %v", err)
	}
}

func TestThereAreAtMostTwentyStandingPromotions(t *testing.T) {
	c := newCounter(t)
	standing := func(i int) error {
		_, err := c.CreateVoucher(t.Context(), &checkoutv1.CreateVoucherRequest{Voucher: &checkoutv1.Voucher{Code: fmt.Sprintf("S-%d", i), PercentBasisPoints: 1, Automatic: true}})
		return err
	}
	for i := range maxStanding {
		if err := standing(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := standing(maxStanding); !problem.Is(err, "TOO_MANY_PROMOTIONS") {
		t.Errorf("one more: %v", err)
	}
	if err := standing(0); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

func TestAPromotionIsForItsCategoriesAndWhatIsBelowThem(t *testing.T) {
	p := promotion{categories: []string{"Home", "Toys > Dolls"}}
	for category, want := range map[string]bool{
		"Home": true, "Home > Kitchen": true, "Homes": false, "Homes > Old": false, "Toys": false, "Toys > Dolls": true, "Toys > Dolls > Large": true, "": false, "Garden > Home": false,
	} {
		if p.isFor(category) != want {
			t.Errorf("%q: %v", category, !want)
		}
	}
	if !(promotion{}).isFor("") {
		t.Error("without categories it is for everything")
	}
}
