package cellctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/relevance"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/search"
)

func (o *options) search() *cobra.Command {
	cmd := &cobra.Command{Use: "search", Short: "Judge what stands first in a search"}
	cmd.AddCommand(o.searchJudge())
	return cmd
}

// judgedSearch tells of a ranking.
type judgedSearch struct {
	Products int `json:"products"`
	// Refused lines of the product file.
	Refused int `json:"refused"`
	relevance.Report
}

func (o *options) searchJudge() *cobra.Command {
	var products, judgements string
	var at, worst int
	cmd := &cobra.Command{
		Use: "judge", Short: "Tell how good the order of search results is, by what people have judged", Args: cobra.NoArgs,
		Long: "Tell how good the order of search results is. Puts the products of a file, as import reads it, into an index, asks the queries\n" +
			"of a file of judgements, and gives their NDCG: 1 where the best stand first, 0 where nothing of use is found. A line of the\n" +
			"judgements is a query, an SKU and a grade from 0 (of no use) to 10, usually 3, with tabs between them; what is not in it has 0.\n" +
			"Needs no platform.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if products == "" || judgements == "" || at < 1 || at > search.MaxResults || worst < 0 {
				return usagef("--products and --judgements name files, --at must be 1 to %d, --worst 0 or more", search.MaxResults)
			}
			r, err := judgeSearch(cmd.Context(), products, judgements, at)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), r, func(out io.Writer) error { return judgedTable(out, r, worst) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&products, "products", "", "file of products, one JSON object a line, plain or gzip")
	flags.StringVar(&judgements, "judgements", "", "file with a line \"query, SKU, grade\" each, separated by tabs")
	flags.IntVar(&at, "at", 10, "results of each query that count")
	flags.IntVar(&worst, "worst", 20, "queries that are listed, the worst first")
	return cmd
}

// judgeBatch of products is indexed at once.
const judgeBatch = 1000

func judgeSearch(ctx context.Context, products, judgements string, at int) (r judgedSearch, err error) {
	file, err := os.Open(judgements)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	judged, err := relevance.Parse(file)
	if err != nil {
		return r, err
	}
	engine, err := search.NewBleve()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if r.Refused, err = indexFile(engine, products); err != nil {
		return r, err
	}
	r.Products = engine.Count()
	r.Report, err = search.Judge(ctx, engine, judged, at)
	return r, err
}

// indexFile of products; what is no product is counted, and what is found through another product only is left out.
func indexFile(engine search.Engine, path string) (refused int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var batch []*catalogv1.Product
	for p, lineErr := range seed.ParseImport(file) {
		switch {
		case lineErr != nil:
			refused++
		case p.GetOfferOf() == "":
			batch = append(batch, p)
		}
		if len(batch) == judgeBatch {
			if err := engine.Index(batch); err != nil {
				return refused, err
			}
			batch = batch[:0]
		}
	}
	if err := engine.Index(batch); err != nil {
		return refused, err
	}
	if engine.Count() == 0 {
		return refused, fmt.Errorf("%s: no line is a product", path)
	}
	return refused, nil
}

func judgedTable(out io.Writer, r judgedSearch, worst int) error {
	queries := slices.Clone(r.Queries)
	slices.SortStableFunc(queries, func(a, b relevance.Result) int { return cmp.Compare(a.NDCG, b.NDCG) })
	lines := []string{fmt.Sprintf("QUERY\tNDCG@%d\tNOT JUDGED", r.At)}
	for _, q := range queries[:min(worst, len(queries))] {
		lines = append(lines, fmt.Sprintf("%s\t%.3f\t%d", printable(q.Query), q.NDCG, q.Unjudged))
	}
	lines = append(lines, fmt.Sprintf("%d queries\t%.3f\t", len(r.Queries), r.NDCG))
	if err := columns(out, lines...); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d products, %d lines that are none; %d queries for which nothing is of use\n", r.Products, r.Refused, r.Skipped)
	return err
}
