package cellctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/catalog"
)

// imported tells what became of a product file.
type imported struct {
	Products int      `json:"products"`
	Refused  int      `json:"refused"`
	Examples []string `json:"examples,omitempty"`
	Seconds  float64  `json:"seconds"`
}

// maxExamples of refused lines that are shown.
const maxExamples = 10

func (o *options) importFile() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Put the products of a JSON Lines file up for sale", Args: cobra.ExactArgs(1),
		Long: "Put the products of a JSON Lines file (plain or gzip) up for sale, with opening stock in the fulfilment centres.\n" +
			"A line is a product as the catalogue has it, or one with id, title, supplier, price in cents, and attr_* fields.\n" +
			"Products that differ in size, colour and the like only have the same \"family\", and \"variesBy\" names these attributes.\n" +
			"Lines that are no product are refused and counted; the others are imported.",
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := o.running(cmd.Context())
			if err != nil {
				return err
			}
			opener, err := opening.New(cmd.Context(), info.DatabaseURL)
			if err != nil {
				return err
			}
			defer opener.Close()
			if _, err := opener.Centers(cmd.Context()); err != nil {
				return err
			}
			report, err := importInto(cmd.Context(), opener, args[0], true)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), report, report.print)
		},
	}
}

// importInto reads a file line by line: however long it is, only a batch of it is in memory.
func importInto(ctx context.Context, opener *opening.Opener, path string, announce bool) (r imported, err error) {
	begun := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return r, fmt.Errorf("import: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	products := func(yield func(*catalogv1.Product) bool) {
		for p, lineErr := range seed.ParseImport(f) {
			if lineErr == nil {
				var v problem.Violations
				catalog.Validate(&v, "product", p)
				lineErr = v.Err()
			}
			if lineErr != nil {
				r.refuse(p, lineErr)
				continue
			}
			if !yield(p) {
				return
			}
		}
	}
	r.Products, err = opener.Products(ctx, products, opening.Options{Seed: defaultSeed, Announce: announce})
	r.Seconds = time.Since(begun).Seconds()
	if err == nil && r.Products == 0 {
		err = fmt.Errorf("import %s: no line is a product; %s", path, slices.Concat(r.Examples, []string{"the file is empty"})[0])
	}
	return r, err
}

func (r *imported) refuse(p *catalogv1.Product, err error) {
	r.Refused++
	if len(r.Examples) >= maxExamples {
		return
	}
	text := err.Error()
	if p != nil {
		text = p.GetSku() + ": " + text
	}
	r.Examples = append(r.Examples, text)
}

// print for people.
func (r imported) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%d products imported in %.1f s, %d lines refused\n", r.Products, r.Seconds, r.Refused)
	for _, e := range r.Examples {
		if err == nil {
			_, err = fmt.Fprintln(out, "  "+e)
		}
	}
	return err
}
