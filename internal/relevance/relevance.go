package relevance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxGrade of a judgement; grades begin at 0, which is of no use.
const MaxGrade = 10

// Judged is a query, and grades of products by SKU. Those that are not in it have 0.
type Judged struct {
	Query  string
	Grades map[string]int
}

// Parse judgements, a line each: query, SKU and grade, separated by tabs. Empty lines, and those that begin with #, say nothing. Queries
// come in the order in which they appear first.
func Parse(r io.Reader) ([]Judged, error) {
	var all []Judged
	at := map[string]int{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 || fields[0] == "" || fields[1] == "" {
			return nil, fmt.Errorf("judgements: line %d is not query, SKU and grade with tabs between them", n)
		}
		grade, err := strconv.Atoi(fields[2])
		if err != nil || grade < 0 || grade > MaxGrade {
			return nil, fmt.Errorf("judgements: line %d: %q is no grade from 0 to %d", n, fields[2], MaxGrade)
		}
		i, known := at[fields[0]]
		if !known {
			i, at[fields[0]] = len(all), len(all)
			all = append(all, Judged{Query: fields[0], Grades: map[string]int{}})
		}
		if _, twice := all[i].Grades[fields[1]]; twice {
			return nil, fmt.Errorf("judgements: line %d judges %s for %q a second time", n, fields[1], fields[0])
		}
		all[i].Grades[fields[1]] = grade
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("judgements: %w", err)
	}
	if len(all) == 0 {
		return nil, errors.New("judgements: there are none")
	}
	return all, nil
}

// Report of a ranking.
type Report struct {
	// At is how many results of each list count.
	At int `json:"at"`
	// NDCG is the mean over Queries, from 0 to 1.
	NDCG    float64  `json:"ndcg"`
	Queries []Result `json:"queries"`
	// Skipped are queries for which nothing is of any use: no ranking is better than another.
	Skipped int `json:"skipped"`
}

// Result of one query.
type Result struct {
	Query string  `json:"query"`
	NDCG  float64 `json:"ndcg"`
	// Unjudged are products among those that count of which the judgements say nothing.
	Unjudged int `json:"unjudged"`
}

// Measure a ranking, which gives SKUs, the best first, by the first results of each query.
func Measure(ctx context.Context, judgements []Judged, at int, rank func(ctx context.Context, query string, limit int) ([]string, error)) (Report, error) {
	r := Report{At: at}
	for _, j := range judgements {
		skus, err := rank(ctx, j.Query, at)
		if err != nil {
			return r, fmt.Errorf("rank %q: %w", j.Query, err)
		}
		skus = skus[:min(len(skus), at)]
		one := Result{Query: j.Query}
		grades, best := make([]int, len(skus)), make([]int, 0, len(j.Grades))
		for i, sku := range skus {
			grade, judged := j.Grades[sku]
			if grades[i] = grade; !judged {
				one.Unjudged++
			}
		}
		for _, grade := range j.Grades {
			best = append(best, grade)
		}
		var comparable bool
		if one.NDCG, comparable = NDCG(grades, best, at); !comparable {
			r.Skipped++
			continue
		}
		r.Queries, r.NDCG = append(r.Queries, one), r.NDCG+one.NDCG
	}
	if len(r.Queries) > 0 {
		r.NDCG /= float64(len(r.Queries))
	}
	return r, nil
}

// NDCG of a list of grades in the order of their places, when all grades that there are are these; false when none is above 0.
func NDCG(list, all []int, at int) (ndcg float64, comparable bool) {
	best := slices.Clone(all)
	slices.Sort(best)
	slices.Reverse(best)
	ideal := dcg(best, at)
	if ideal == 0 {
		return 0, false
	}
	return dcg(list, at) / ideal, true
}

func dcg(grades []int, at int) (sum float64) {
	for i, grade := range grades[:min(len(grades), at)] {
		sum += (math.Exp2(float64(grade)) - 1) / math.Log2(float64(i)+2)
	}
	return sum
}
