package relevance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestNDCGIsByTheFormula(t *testing.T) {
	for _, c := range []struct {
		list, all []int
		at        int
		want      float64
	}{
		{[]int{3, 2, 1}, []int{1, 2, 3}, 10, 1},
		{[]int{0, 3}, []int{3}, 10, 1 / math.Log2(3)},
		{nil, []int{3}, 10, 0},
		{[]int{0, 0, 3}, []int{3}, 2, 0}, // what stands below does not count
		{[]int{2}, []int{2, 2, 2}, 1, 1}, // and there was no room for more
		// (3 + 7/log2(3) + 0 + 1/log2(5)) / (7 + 3/log2(3) + 1/2)
		{[]int{2, 3, 0, 1}, []int{3, 2, 1}, 10, (3 + 7/1.5849625007211562 + 1/2.321928094887362) / (7 + 3/1.5849625007211562 + .5)},
	} {
		if got, ok := NDCG(c.list, c.all, c.at); !ok || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v of %v at %d: %v, %v; want %v", c.list, c.all, c.at, got, ok, c.want)
		}
	}
	if _, ok := NDCG([]int{0}, []int{0, 0}, 10); ok {
		t.Error("where nothing is of use one list is as good as another")
	}
}

func TestAReportIsTheMeanOfTheQueriesThatTellRankingsApart(t *testing.T) {
	judgements := []Judged{{"a", map[string]int{"x": 3, "y": 0}}, {"b", map[string]int{"x": 1}}, {"c", map[string]int{"x": 0}}}
	lists := map[string][]string{"a": {"x", "y", "z"}, "b": {"z", "z", "x"}}
	r, err := Measure(t.Context(), judgements, 3, func(_ context.Context, query string, limit int) ([]string, error) {
		if limit != 3 {
			t.Errorf("%d are asked for", limit)
		}
		return lists[query], nil
	})
	want := Report{At: 3, NDCG: .75, Skipped: 1, Queries: []Result{{"a", 1, 1}, {"b", .5, 2}}}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, %v; want %+v", r, err, want)
	}
	broken := errors.New("broken")
	if _, err := Measure(t.Context(), judgements, 3, func(context.Context, string, int) ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestJudgementsAreReadLineByLine(t *testing.T) {
	all, err := Parse(strings.NewReader("# query, SKU, grade\nred shoes\tb\t1\n\nblue\tx\t0\r\nred shoes\ta\t3\n"))
	want := []Judged{{"red shoes", map[string]int{"a": 3, "b": 1}}, {"blue", map[string]int{"x": 0}}}
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("%v, %v", all, err)
	}
	for text, says := range map[string]string{
		"":                         "none",
		"# nothing":                "none",
		"a b 1":                    "line 1",
		"a\tb\t1\n\tb\t1":          "line 2",
		"a\tb\t-1":                 "grade",
		"a\tb\t11":                 "grade",
		"a\tb\tgood":               "grade",
		"a\tb\t1\na\tb\t2":         "second time",
		strings.Repeat("x", 1<<17): "too long",
	} {
		if _, err := Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: %v, which does not say %q", text, err, says)
		}
	}
}

// What is read is written again, and read alike: each judgement once, none out of range.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "#", "a\tb\t1\n", "a\tb\t1\na\tc\t0\nd\tb\t10\n", "a\tb\t11", "a\tb\t-1", "a\tb", "\tb\t1", "a\tb\t1\na\tb\t2", "a\tb\t1\r\n", "a b\tc\t+3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		var again strings.Builder
		for _, j := range all {
			for _, sku := range slices.Sorted(maps.Keys(j.Grades)) {
				if g := j.Grades[sku]; g < 0 || g > MaxGrade {
					t.Fatalf("%q of %q has grade %d", sku, j.Query, g)
				}
				fmt.Fprintf(&again, "%s\t%s\t%d\n", j.Query, sku, j.Grades[sku])
			}
		}
		twice, err := Parse(strings.NewReader(again.String()))
		if err != nil || !reflect.DeepEqual(all, twice) {
			t.Fatalf("%q is read as %v, and written and read again as %v, %v", text, all, twice, err)
		}
	})
}
