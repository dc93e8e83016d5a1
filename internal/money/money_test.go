package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/money"
)

func TestArithmeticAgreesWithBigIntegersOrReportsOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		got, err := money.USD(a).Add(money.USD(b))
		agree(t, new(big.Int).Add(big.NewInt(a), big.NewInt(b)), got, err)
		m, q := rapid.Int64Range(0, math.MaxInt64).Draw(t, "m"), rapid.Int64Range(0, math.MaxInt64).Draw(t, "q")
		got, err = money.USD(m).Times(q)
		agree(t, new(big.Int).Mul(big.NewInt(m), big.NewInt(q)), got, err)
	})
}

func agree(t *rapid.T, want *big.Int, got money.Amount, err error) {
	t.Helper()
	if want.IsInt64() {
		if err != nil || got.Minor != want.Int64() {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	} else if !errors.Is(err, money.ErrOverflow) {
		t.Fatalf("got %v, %v, want an overflow", got, err)
	}
}

func TestAPercentageIsRoundedHalfUpAndIsPartOfTheAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minor, points := rapid.Int64Min(0).Draw(t, "minor"), rapid.Int32Range(-1, money.WholePercent+1).Draw(t, "points")
		within := min(max(points, 0), money.WholePercent)
		want := new(big.Int).Mul(big.NewInt(minor), big.NewInt(int64(within)))
		want.Add(want, big.NewInt(money.WholePercent/2)).Div(want, big.NewInt(money.WholePercent))
		if got := money.PercentOf(minor, points); want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("got %d, want %s", got, want)
		}
	})
}

func TestCurrenciesDoNotMix(t *testing.T) {
	if _, err := money.USD(1).Add(money.Zero("EUR")); !errors.Is(err, money.ErrCurrencyMismatch) {
		t.Fatalf("got %v", err)
	}
}

func TestString(t *testing.T) {
	for want, a := range map[string]money.Amount{"12.99 USD": money.USD(1299), "-0.05 USD": money.USD(-5), "0.00 EUR": money.Zero("EUR")} {
		if got := a.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
