package tax

import (
	"context"
	_ "embed" // the tables below
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cellar-commerce/cellar/internal/problem"
)

//go:embed us.csv
var usCSV string

//go:embed zip.csv
var zipCSV string

//go:embed vat.csv
var vatCSV string

// jurisdiction is a place with rates of its own.
type jurisdiction struct {
	general, books, clothing Rate
	shipping                 bool
}

func (j jurisdiction) rate(c Category) Rate {
	switch c {
	case Books:
		return j.books
	case Clothing:
		return j.clothing
	default:
		return j.general
	}
}

// Table is an Engine that keeps all rates in memory.
type Table struct {
	states map[string]jurisdiction
	// zips maps prefixes of ZIP codes, of zipShort or zipLong digits, to states.
	zips map[string]string
	// countries by code and postal prefix, joined by a slash.
	countries map[string]jurisdiction
}

var _ Engine = (*Table)(nil)

const (
	zipShort = 3
	zipLong  = 5
	// maxPrefix is the longest postal prefix in the table of countries.
	maxPrefix = 5
	// country of the tables of states and ZIP codes.
	unitedStates = "US"
)

// Published is the table that is part of the program.
var Published = sync.OnceValue(func() *Table {
	t, err := Parse(usCSV, zipCSV, vatCSV)
	if err != nil {
		panic("tax: the embedded tables are damaged: " + err.Error())
	}
	return t
})

// Assess implements Engine.
func (t *Table) Assess(_ context.Context, to Destination, categories []Category) (Assessment, error) {
	j, err := t.find(to)
	if err != nil {
		return Assessment{}, err
	}
	a := Assessment{Rates: make([]Rate, len(categories)), Shipping: j.shipping}
	for i, c := range categories {
		a.Rates[i] = j.rate(c)
	}
	return a, nil
}

// Rate of one category at a destination.
func (t *Table) Rate(to Destination, c Category) (Rate, error) {
	j, err := t.find(to)
	return j.rate(c), err
}

// find the jurisdiction of a destination. In the United States the ZIP code decides, because that is where the parcel goes:
// the state that an address claims counts only where no ZIP code is known.
func (t *Table) find(to Destination) (jurisdiction, error) {
	code := bare(to.PostalCode)
	if to.Country == unitedStates {
		if j, ok := t.states[t.stateOf(code, to.State)]; ok {
			return j, nil
		}
		return jurisdiction{}, unknown()
	}
	for n := min(len(code), maxPrefix); n >= 0; n-- {
		if j, ok := t.countries[to.Country+"/"+code[:n]]; ok {
			return j, nil
		}
	}
	return jurisdiction{}, unknown()
}

func (t *Table) stateOf(zip, claimed string) string {
	for _, n := range []int{zipLong, zipShort} {
		if len(zip) >= n {
			if state, ok := t.zips[zip[:n]]; ok {
				return state
			}
		}
	}
	return claimed
}

func unknown() error {
	return problem.New(problem.Invalid, "UNKNOWN_TAX_DESTINATION", "no tax is known for this destination: look at its country, state and postal code")
}

// bare postal code: without spaces and hyphens, in capitals.
func bare(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case (r >= '0' && r <= '9') || (r >= 'A' && r <= 'Z'):
			return r
		default:
			return -1
		}
	}, code)
}

// Parse tables of the forms that the embedded ones describe in their first lines.
func Parse(us, zip, vat string) (*Table, error) {
	t := &Table{states: map[string]jurisdiction{}, zips: map[string]string{}, countries: map[string]jurisdiction{}}
	for _, table := range []struct {
		name, text string
		fields     int
		row        func([]string) error
	}{{"us", us, 5, t.addState}, {"zip", zip, 3, t.addZIPs}, {"vat", vat, 4, t.addCountry}} {
		number := 0
		for line := range strings.Lines(table.text) {
			number++
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			fields := strings.Split(line, ",")
			if len(fields) != table.fields {
				return nil, fmt.Errorf("tax: table %s, line %d has %d fields, not %d", table.name, number, len(fields), table.fields)
			}
			if err := table.row(fields); err != nil {
				return nil, fmt.Errorf("tax: table %s, line %d: %w", table.name, number, err)
			}
		}
	}
	return t, nil
}

func (t *Table) addState(f []string) error {
	state, err := ParseRate(f[1])
	if err != nil {
		return err
	}
	local, err := ParseRate(f[2])
	if err != nil {
		return err
	}
	if _, twice := t.states[f[0]]; twice || !capitals(f[0], 2) || state+local > whole || (f[3] != "yes" && f[3] != "no") || (f[4] != "" && f[4] != "exempt") {
		return fmt.Errorf("%q is not a state of its own, two rates, yes or no, and exempt or nothing", f)
	}
	j := jurisdiction{general: state + local, books: state + local, clothing: state + local, shipping: f[3] == "yes"}
	if f[4] == "exempt" {
		j.clothing = 0
	}
	t.states[f[0]] = j
	return nil
}

func (t *Table) addZIPs(f []string) error {
	digits := len(f[0])
	first, firstErr := strconv.ParseUint(f[0], 10, 32)
	last, lastErr := strconv.ParseUint(f[1], 10, 32)
	if firstErr != nil || lastErr != nil || (digits != zipShort && digits != zipLong) || len(f[1]) != digits || first > last {
		return fmt.Errorf("%q is no range of prefixes of three or five digits", f)
	}
	if _, known := t.states[f[2]]; !known {
		return fmt.Errorf("%q is not in the table of states", f[2])
	}
	for n := first; n <= last; n++ {
		prefix := fmt.Sprintf("%0*d", digits, n)
		if _, twice := t.zips[prefix]; twice {
			return fmt.Errorf("%s is there twice", prefix)
		}
		t.zips[prefix] = f[2]
	}
	return nil
}

// addCountry or a part of one. Delivery is part of what is delivered there, and taxed like it (Directive 2006/112/EC, article 78).
func (t *Table) addCountry(f []string) error {
	key := f[0] + "/" + f[1]
	if _, twice := t.countries[key]; twice || !capitals(f[0], 2) || f[0] == unitedStates || len(f[1]) > maxPrefix || bare(f[1]) != f[1] {
		return fmt.Errorf("%q is no country and postal prefix of its own", key)
	}
	j := jurisdiction{shipping: true}
	var err error
	if j.general, err = ParseRate(f[2]); err != nil {
		return err
	}
	j.books, j.clothing = j.general, j.general
	if f[3] != "" {
		j.books, err = ParseRate(f[3])
	}
	t.countries[key] = j
	return err
}

func capitals(s string, n int) bool {
	return len(s) == n && !strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' })
}

// ParseRate reads a percentage from 0 to 100 with at most three decimals, for example "6.875".
func ParseRate(s string) (Rate, error) {
	units, decimals, point := strings.Cut(s, ".")
	digits := func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	}
	if !digits(units) || len(units) > 3 || (point && !digits(decimals)) || len(decimals) > 3 {
		return 0, fmt.Errorf("%q is no percentage with at most three decimals", s)
	}
	n, err := strconv.ParseInt(units+(decimals + "000")[:3], 10, 32)
	if err != nil || Rate(n) > whole {
		return 0, fmt.Errorf("%q is not 0 to 100 percent", s)
	}
	return Rate(n), nil
}
