package tax_test

import (
	"math"
	"math/big"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/tax"
)

var rates = rapid.Map(rapid.Int32Range(0, 100_000), func(n int32) tax.Rate { return tax.Rate(n) })

func TestTaxIsRoundedHalfUpAndNeverMoreThanTheAmount(t *testing.T) {
	for _, c := range []struct {
		rate        tax.Rate
		minor, want int64
	}{
		{8875, 10_00, 89}, {6250, 8, 1}, {6250, 7, 0}, {50_000, 1, 1}, {49_999, 1, 0}, {0, 99, 0}, {100_000, 7, 7}, {20_000, 0, 0},
		{100_000, math.MaxInt64, math.MaxInt64}, {25_500, 100_00, 25_50},
	} {
		if got := c.rate.Of(c.minor); got != c.want {
			t.Errorf("%v of %d is %d, not %d", c.rate, c.minor, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		rate, minor := rates.Draw(t, "rate"), rapid.Int64Range(0, math.MaxInt64).Draw(t, "minor")
		exact := new(big.Int).Mul(big.NewInt(minor), big.NewInt(int64(rate)))
		want := exact.Div(exact.Add(exact, big.NewInt(50_000)), big.NewInt(100_000)).Int64()
		if got := rate.Of(minor); got != want || got < 0 || got > minor {
			t.Fatalf("%v of %d is %d, not %d", rate, minor, got, want)
		}
	})
}

func TestTaxIsMonotoneInAmountAndRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int64Range(0, math.MaxInt64).Draw(t, "low")
		high := rapid.Int64Range(low, math.MaxInt64).Draw(t, "high")
		rate := rates.Draw(t, "rate")
		dearer := tax.Rate(rapid.Int32Range(int32(rate), 100_000).Draw(t, "dearer"))
		if rate.Of(low) > rate.Of(high) || rate.Of(low) > dearer.Of(low) {
			t.Fatalf("%v of %d: %d, of %d: %d; %v: %d", rate, low, rate.Of(low), high, rate.Of(high), dearer, dearer.Of(low))
		}
	})
}

func TestTaxOnPartsIsThatOfTheWholeWhenTheyHaveOneRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, sum := rates.Draw(t, "rate"), int64(0)
		parts := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64/8), 1, 8).Draw(t, "parts")
		same := make([]tax.Rate, len(parts))
		for i, part := range parts {
			sum, same[i] = sum+part, rate
		}
		if got := tax.Sum(same, parts); got != rate.Of(sum) {
			t.Fatalf("%v of %v is %d, of the whole %d", rate, parts, got, rate.Of(sum))
		}
	})
}

func TestKnownRates(t *testing.T) {
	for _, c := range []struct {
		to       tax.Destination
		category tax.Category
		want     string
		shipping bool
	}{
		{tax.Destination{Country: "US", State: "NY", PostalCode: "10001"}, tax.General, "8.54 %", true},
		{tax.Destination{Country: "US", State: "MN", PostalCode: "55401-1234"}, tax.General, "8.135 %", true},
		{tax.Destination{Country: "US", State: "MN", PostalCode: "55401"}, tax.Clothing, "0 %", true},
		{tax.Destination{Country: "US", State: "CA", PostalCode: "94103"}, tax.Books, "9.03 %", false},
		{tax.Destination{Country: "US", State: "OR", PostalCode: "97201"}, tax.General, "0 %", false},
		{tax.Destination{Country: "US", State: "PR", PostalCode: "00901"}, tax.General, "11.5 %", false},
		{tax.Destination{Country: "US", State: "CT", PostalCode: "06390"}, tax.General, "8.54 %", true}, // Fishers Island is in New York
		{tax.Destination{Country: "US", State: "AS", PostalCode: "96799"}, tax.General, "0 %", false},
		{tax.Destination{Country: "DE", PostalCode: "80331"}, tax.General, "19 %", true},
		{tax.Destination{Country: "DE", PostalCode: "80331"}, tax.Books, "7 %", true},
		{tax.Destination{Country: "DE", PostalCode: "78266"}, tax.General, "0 %", true},
		{tax.Destination{Country: "FI", PostalCode: "00100"}, tax.General, "25.5 %", true},
		{tax.Destination{Country: "ES", PostalCode: "35001"}, tax.General, "0 %", true},
		{tax.Destination{Country: "GB", PostalCode: "SW1A 1AA"}, tax.Books, "0 %", true},
		{tax.Destination{Country: "CH", PostalCode: "8001"}, tax.General, "8.1 %", true},
	} {
		a, err := tax.Published().Assess(t.Context(), c.to, []tax.Category{c.category})
		if err != nil || a.Rates[0].String() != c.want || a.Shipping != c.shipping {
			t.Errorf("%v: %v, shipping %v, %v; want %s, %v", c.to, a.Rates, a.Shipping, err, c.want, c.shipping)
		}
		if one, err := tax.Published().Rate(c.to, c.category); err != nil || one != a.Rates[0] {
			t.Errorf("%v: one by one %v, %v", c.to, one, err)
		}
	}
}

func TestAStateThatIsClaimedDoesNotTakeTheTaxOffAParcel(t *testing.T) {
	honest, _ := tax.Published().Rate(tax.Destination{Country: "US", State: "NY", PostalCode: "10001"}, tax.General)
	claimed, err := tax.Published().Rate(tax.Destination{Country: "US", State: "OR", PostalCode: "10001"}, tax.General)
	if err != nil || claimed != honest {
		t.Errorf("%v, %v for a ZIP code of New York, not %v", claimed, err, honest)
	}
}

// deliverable countries and postal prefixes, from the tables that say where places are.
func deliverable(t *testing.T) (all []tax.Destination) {
	t.Helper()
	for _, name := range []string{"../geo/places.csv", "../geo/zip3.csv"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Split(strings.TrimSpace(line), ",")
			switch {
			case f[0] == "" || f[0][0] == '#':
			case len(f) == 3:
				all = append(all, tax.Destination{Country: "US", State: "??", PostalCode: f[0] + "01"})
			default:
				all = append(all, tax.Destination{Country: f[0], PostalCode: f[1]})
			}
		}
	}
	return all
}

func TestEveryDestinationThatIsDeliveredToHasARate(t *testing.T) {
	all := deliverable(t)
	if len(all) < 900 {
		t.Fatalf("%d destinations", len(all))
	}
	for _, to := range all {
		if !geo.Supported(to.Country) {
			t.Errorf("%s is not delivered to", to.Country)
		}
		for _, c := range []tax.Category{tax.General, tax.Books, tax.Clothing} {
			if rate, err := tax.Published().Rate(to, c); err != nil || rate < 0 || rate > 30_000 {
				t.Errorf("%v: %v, %v", to, rate, err)
			}
		}
	}
	for _, to := range []tax.Destination{{Country: "XX"}, {}, {Country: "US", State: "ZZ", PostalCode: "00001"}, {Country: "us", State: "NY", PostalCode: "10001"}} {
		if _, err := tax.Published().Rate(to, tax.General); !problem.Is(err, "UNKNOWN_TAX_DESTINATION") {
			t.Errorf("%v: %v", to, err)
		}
	}
}

func TestADamagedTableIsRefused(t *testing.T) {
	const us, zip, vat = "NY,4,4.5,yes,\n", "100,149,NY\n", "DE,,19,7\n"
	if _, err := tax.Parse(us, zip, vat); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"a field too few":         {"NY,4,4.5,yes\n", zip, vat},
		"a state twice":           {us + us, zip, vat},
		"no state":                {"New York,4,4.5,yes,\n", "", vat},
		"a rate below nothing":    {"NY,4,-0.5,yes,\n", zip, vat},
		"more than everything":    {"NY,60,50,yes,\n", zip, vat},
		"neither yes nor no":      {"NY,4,4.5,maybe,\n", zip, vat},
		"a word too many":         {"NY,4,4.5,yes,cheap\n", zip, vat},
		"a range of nothing":      {us, "149,100,NY\n", vat},
		"a prefix twice":          {us, zip + "120,120,NY\n", vat},
		"a prefix of four digits": {us, "1000,1001,NY\n", vat},
		"a state not in the list": {us, "100,149,NJ\n", vat},
		"a country twice":         {us, zip, vat + vat},
		"no percentage":           {us, zip, "DE,,nineteen,\n"},
		"four decimals":           {us, zip, "DE,,19.0001,\n"},
		"a part that has no end":  {us, zip, "DE,123456,19,\n"},
		"a state as a country":    {us, zip, "US,,19,\n"},
	} {
		if got, err := tax.Parse(c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestProductsAreTaxedByTheirShelf(t *testing.T) {
	for path, want := range map[string]tax.Category{
		"Books": tax.Books, "Books > Crime": tax.Books, "Bookshelves": tax.General, "Clothing > Coats": tax.Clothing, "": tax.General, "Home > Books": tax.General,
	} {
		if got := tax.CategoryOf(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("NY,4,4.5,yes,exempt\n", "100,149,NY\n", "DE,,19,7\n", "10001")
	f.Add("# nothing\n", "\n", "FI,,25.5,\nFI,22,0,\n", "22100")
	f.Fuzz(func(t *testing.T, us, zip, vat, code string) {
		table, err := tax.Parse(us, zip, vat)
		if err != nil {
			return
		}
		for _, to := range []tax.Destination{{Country: "US", State: "NY", PostalCode: code}, {Country: "FI", PostalCode: code}, {Country: "DE", PostalCode: code}} {
			rate, err := table.Rate(to, tax.Books)
			if rate < 0 || rate > 100_000 || (err != nil && !problem.Is(err, "UNKNOWN_TAX_DESTINATION")) {
				t.Errorf("%v: %v, %v", to, rate, err)
			}
		}
	})
}

func FuzzParseRate(f *testing.F) {
	f.Add("6.875")
	f.Add("100.000")
	f.Add(".5")
	f.Fuzz(func(t *testing.T, s string) {
		rate, err := tax.ParseRate(s)
		if err != nil {
			return
		}
		again, err := tax.ParseRate(strings.TrimSuffix(rate.String(), " %"))
		if err != nil || again != rate || rate < 0 || rate > 100_000 {
			t.Errorf("%q is %v, read again %v, %v", s, rate, again, err)
		}
	})
}
