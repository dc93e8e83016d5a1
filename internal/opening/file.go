package opening

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/catalog"
)

// Imported tells what became of a product file.
type Imported struct {
	Products int      `json:"products"`
	Refused  int      `json:"refused"`
	Examples []string `json:"examples,omitempty"`
	Seconds  float64  `json:"seconds"`
}

// maxExamples of refused lines that are told.
const maxExamples = 10

// File of products is read line by line (see seed.ParseImport) and opened: however long it is, only some batches of it are in
// memory. Lines that are no product are counted; a file without any product is an error.
func (o *Opener) File(ctx context.Context, path string, options Options) (r Imported, err error) {
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
	r.Products, err = o.Products(ctx, products, options)
	r.Seconds = time.Since(begun).Seconds()
	if err == nil && r.Products == 0 {
		err = fmt.Errorf("import %s: no line is a product; %s", path, slices.Concat(r.Examples, []string{"the file is empty"})[0])
	}
	return r, err
}

func (r *Imported) refuse(p *catalogv1.Product, err error) {
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
