package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/recommendation"
)

func (o *options) recs() *cobra.Command {
	cmd := &cobra.Command{Use: "recs", Short: "Train what is recommended from what was bought, and judge it"}
	cmd.AddCommand(o.recsTrain(), o.recsEvaluate())
	return cmd
}

// trained tells what training has found.
type trained struct {
	Customers int64   `json:"customers"`
	Products  int     `json:"products"`
	Seconds   float64 `json:"seconds"`
}

func (o *options) recsTrain() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "train", Short: "Find out what is bought together, and recommend it from now on", Args: cobra.NoArgs,
		Long: "Find out what the same customers bought, and recommend it from now on. Reads the platform's orders, or with --file a\n" +
			"file with a line \"customer,sku\" for each purchase. When nothing is bought together more often than by chance, what is\n" +
			"recommended stays as it is.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, err := o.running(cmd.Context())
			if err != nil {
				return err
			}
			begun := time.Now()
			m, err := trainFrom(cmd.Context(), info.DatabaseURL, file)
			if err != nil {
				return err
			}
			global, err := sqldb.Open(cmd.Context(), sqldb.Config{URL: info.DatabaseURL, Database: sqldb.Global, MaxConns: 1, ApplicationName: "cellctl recs"})
			if err != nil {
				return err
			}
			defer global.Close()
			if err := m.Publish(cmd.Context(), global, time.Now()); err != nil {
				return err
			}
			report := trained{Customers: m.Baskets, Products: m.Products(), Seconds: time.Since(begun).Seconds()}
			return o.print(cmd.OutOrStdout(), report, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%d customers, recommendations for %d products, %.1f s\n", report.Customers, report.Products, report.Seconds)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "purchases to learn from (default: the platform's orders)")
	return cmd
}

func trainFrom(ctx context.Context, url, file string) (*recommendation.Model, error) {
	if file != "" {
		baskets, err := readHistory(file)
		if err != nil {
			return nil, err
		}
		return recommendation.Train(func(yield func([]string) bool) {
			for _, basket := range baskets {
				if !yield(basket) {
					return
				}
			}
		}), nil
	}
	customers, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Customer, MaxConns: 1, ApplicationName: "cellctl recs"})
	if err != nil {
		return nil, err
	}
	defer customers.Close()
	var failed error
	m := recommendation.Train(recommendation.History(ctx, customers, &failed))
	return m, failed
}

func readHistory(path string) (baskets [][]string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return recommendation.ParseHistory(f)
}

func (o *options) recsEvaluate() *cobra.Command {
	var file string
	p := recommendation.Planted{}
	cmd := &cobra.Command{
		Use: "evaluate", Short: "Tell how often customers' last purchases would have been recommended", Args: cobra.NoArgs,
		Long: "Hold out each customer's last purchase, train on the others, and tell how often it is among ten recommendations, and how\n" +
			"far up, beside the ten most popular products. Reads a file as train does, or makes a history with planted structure.\n" +
			"Needs no platform.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.Customers < 1 || p.Customers > 10_000_000 || p.Groups < 1 || p.Products < p.Groups || p.Products > 10_000_000 || p.Strayed < 0 || p.Strayed > 1 {
				return usagef("--customers must be 1 to 10000000, --products at least --groups and at most 10000000, --strayed 0 to 1")
			}
			var baskets [][]string
			var err error
			if file == "" {
				baskets = p.Baskets()
			} else if baskets, err = readHistory(file); err != nil {
				return err
			}
			e := recommendation.Evaluate(baskets)
			return o.print(cmd.OutOrStdout(), e, func(out io.Writer) error {
				return columns(out, "\tHIT RATE@10\tNDCG@10", fmt.Sprintf("recommendations\t%.4f\t%.4f", e.Model.HitRate, e.Model.NDCG),
					fmt.Sprintf("popularity\t%.4f\t%.4f", e.Popularity.HitRate, e.Popularity.NDCG), fmt.Sprintf("customers\t%d", e.Customers))
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "file", "", "purchases, a line \"customer,sku\" each (default: a history that is made)")
	flags.Uint64Var(&p.Seed, "seed", 1, "of the history that is made")
	flags.IntVar(&p.Customers, "customers", 20_000, "in the history that is made")
	flags.IntVar(&p.Products, "products", 2_000, "in it")
	flags.IntVar(&p.Groups, "groups", 50, "of products that are bought together")
	flags.Float64Var(&p.Strayed, "strayed", 0.3, "share of purchases that have nothing to do with the customer's groups")
	return cmd
}
