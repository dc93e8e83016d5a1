package cellctl

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAVoucherIsReadFromItsFlags(t *testing.T) {
	f := voucherFlags{amount: "5", minimum: "19.9", currency: "USD", until: "2026-12-31", from: "2026-12-01T06:00:00+01:00", limit: 7, perCustomer: 1, categories: []string{"Toys"}, home: "eu-central-1"}
	v, err := f.voucher("SPRING-5")
	if err != nil || v.GetAmountOff().GetMinorUnits() != 5_00 || v.GetMinimum().GetMinorUnits() != 19_90 || v.GetAmountOff().GetCurrencyCode() != "USD" || v.GetPercentBasisPoints() != 0 ||
		!v.GetValidUntil().AsTime().Equal(time.Date(2026, time.December, 31, 0, 0, 0, 0, time.UTC)) || !v.GetValidFrom().AsTime().Equal(time.Date(2026, time.December, 1, 5, 0, 0, 0, time.UTC)) ||
		v.GetMaxRedemptions() != 7 || v.GetMaxPerCustomer() != 1 || v.GetCategories()[0] != "Toys" || v.GetHomeRegion() != "eu-central-1" {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := (voucherFlags{percent: "12.5", automatic: true}).voucher("X"); err != nil || v.GetPercentBasisPoints() != 12_50 || !v.GetAutomatic() || v.GetAmountOff() != nil || v.GetValidUntil() != nil {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := (voucherFlags{percent: "1.234", amount: "-1"}).voucher("X"); err == nil || !strings.Contains(err.Error(), "--percent") || !strings.Contains(err.Error(), "--amount") {
		t.Errorf("not everything that is wrong is told: %v", err)
	}
}

func TestAVoucherIsShownWithWhatCounts(t *testing.T) {
	n := int64(3)
	v := &checkoutv1.Voucher{
		Code: "SPRING-5", AmountOff: money.USD(5_00).Proto(), Minimum: money.USD(20_00).Proto(), MaxRedemptions: 7, MaxPerCustomer: 1, HomeRegion: "us-east-1",
		ValidFrom: timestamppb.New(time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC)), Disabled: true,
	}
	var b bytes.Buffer
	if err := (&options{output: "table"}).printVoucher(&b, nil, v, &n); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"5.00 USD", "20.00 USD", "everything", "3, at most 7", "at most 1", "2026-05-01T00:00:00Z", "disabled"} {
		if !strings.Contains(b.String(), says) {
			t.Errorf("%q is not in\n%s", says, b.String())
		}
	}
	b.Reset()
	if err := (&options{output: "json"}).printVoucher(&b, &checkoutv1.GetVoucherResponse{Voucher: v, Redeemed: n}, v, &n); err != nil {
		t.Fatal(err)
	}
	var shape struct {
		Voucher  struct{ Code string }
		Redeemed string
	}
	if err := json.Unmarshal(b.Bytes(), &shape); err != nil || shape.Voucher.Code != "SPRING-5" || shape.Redeemed != "3" {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestEveryFieldThatIsWrongIsTold(t *testing.T) {
	var v problem.Violations
	v.Add("voucher.code", "must be longer")
	v.Add("voucher.minimum", "must be smaller")
	if got := explained(v.Err()).Error(); !strings.Contains(got, "\n  code must be longer\n  minimum must be smaller") {
		t.Errorf("%s", got)
	}
	if got := explained(problem.New(problem.NotFound, "VOUCHER_UNKNOWN", "there is no such voucher")); got.Error() != "VOUCHER_UNKNOWN: there is no such voucher" || explained(nil) != nil {
		t.Errorf("%v", got)
	}
}

func FuzzHundredths(f *testing.F) {
	for _, s := range []string{"5", "5.", "5.0", "5.00", ".5", "-1", "1e3", "999999999999999", "0005.10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := hundredths(s)
		if err != nil {
			return
		}
		again, err := hundredths(strings.TrimSuffix(money.USD(n).String(), " USD"))
		if err != nil || again != n || n < 0 {
			t.Errorf("%q is %d, read again %d, %v", s, n, again, err)
		}
	})
}
