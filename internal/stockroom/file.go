package stockroom

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
)

// Delivery of a supplier to one FC: units by product.
type Delivery struct {
	FC, ID string
	Units  map[string]int64
}

// batches of lines, in the order of products.
func (d Delivery) batches() (all [][]*inventoryv1.RestockLine) {
	for skus := range slices.Chunk(slices.Sorted(maps.Keys(d.Units)), maxLines) {
		var lines []*inventoryv1.RestockLine
		for _, sku := range skus {
			lines = append(lines, &inventoryv1.RestockLine{Sku: sku, Quantity: d.Units[sku]})
		}
		all = append(all, lines)
	}
	return all
}

// Limits of a file.
const (
	maxFileLines = 1_000_000
	maxLineBytes = 64 << 10
	maxQuantity  = 1_000_000
	maxProblems  = 20 // that are told
)

// columns of a CSV file, in any order; a JSON line has them as keys.
var columns = []string{"delivery_id", "fc_id", "sku", "quantity"}

// row of a file.
type row struct {
	DeliveryID string `json:"delivery_id"`
	FC         string `json:"fc_id"`
	SKU        string `json:"sku"`
	Quantity   int64  `json:"quantity"`
}

func (r row) check() error {
	for name, value := range map[string]struct {
		text string
		most int
	}{"delivery_id": {r.DeliveryID, 100}, "fc_id": {r.FC, 16}, "sku": {r.SKU, 64}} {
		if value.text == "" || len(value.text) > value.most {
			return fmt.Errorf("%s must be 1 to %d characters", name, value.most)
		}
	}
	if r.Quantity < 1 || r.Quantity > maxQuantity {
		return fmt.Errorf("quantity must be 1 to %d", maxQuantity)
	}
	return nil
}

// Parse a file of deliveries: JSON Lines when its first character is a brace, else CSV with a header. All that is wrong
// is told at once, up to 20 lines, and then there are no deliveries.
func Parse(in io.Reader) ([]Delivery, error) {
	buffered := bufio.NewReader(in)
	if bom, _ := buffered.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) { // as spreadsheets write it
		_, _ = buffered.Discard(3)
	}
	first, err := buffered.Peek(1)
	if err != nil {
		return nil, errors.New("the file is empty")
	}
	g := grouped{deliveries: map[[2]string]map[string]int64{}}
	if first[0] == '{' {
		err = g.jsonLines(buffered)
	} else {
		err = g.csv(buffered)
	}
	if err = errors.Join(append(g.problems, err)...); err != nil {
		return nil, err
	}
	return g.sorted(), nil
}

// grouped rows.
type grouped struct {
	deliveries map[[2]string]map[string]int64 // by FC and delivery: units by product
	lines      int
	problems   []error
}

func (g *grouped) add(line int, r row, err error) {
	if err == nil {
		err = r.check()
	}
	key := [2]string{r.FC, r.DeliveryID}
	if err == nil && g.deliveries[key][r.SKU]+r.Quantity > maxQuantity {
		err = fmt.Errorf("quantities of %s add up to more than %d", r.SKU, maxQuantity)
	}
	if err != nil {
		if len(g.problems) < maxProblems {
			g.problems = append(g.problems, fmt.Errorf("line %d: %w", line, err))
		}
		return
	}
	if g.deliveries[key] == nil {
		g.deliveries[key] = map[string]int64{}
	}
	g.deliveries[key][r.SKU] += r.Quantity
	g.lines++
}

var errTooLong = fmt.Errorf("the file has more than %d lines", maxFileLines)

func (g *grouped) jsonLines(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLineBytes)
	for n := 1; lines.Scan(); n++ {
		if n > maxFileLines {
			return errTooLong
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var r row
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		err := d.Decode(&r)
		if err == nil && d.More() {
			err = errors.New("there is more than one value")
		}
		g.add(n, r, err)
	}
	return lines.Err()
}

func (g *grouped) csv(in io.Reader) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	for _, name := range columns {
		if _, ok := at[name]; !ok {
			return fmt.Errorf("the header has no column %s", name)
		}
	}
	for n := 0; ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err // it names the line; what follows cannot be trusted
		}
		if n >= maxFileLines {
			return errTooLong
		}
		line, _ := r.FieldPos(0)
		one := row{DeliveryID: record[at["delivery_id"]], FC: record[at["fc_id"]], SKU: record[at["sku"]]}
		one.Quantity, err = strconv.ParseInt(record[at["quantity"]], 10, 64)
		if err != nil {
			err = errors.New("quantity is not a whole number")
		}
		g.add(line, one, err)
	}
}

func (g *grouped) sorted() []Delivery {
	all := make([]Delivery, 0, len(g.deliveries))
	for key, units := range g.deliveries {
		all = append(all, Delivery{FC: key[0], ID: key[1], Units: units})
	}
	slices.SortFunc(all, func(a, b Delivery) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.FC, b.FC)) })
	return all
}
