package recommendation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// maxLine of a history file in bytes, and maxCustomer in a line.
	maxLine, maxCustomer = 4096, 128
	// maxPurchases of a file: they are grouped by customer in memory, some 100 bytes each.
	maxPurchases = 50_000_000
	// orderPage is how many orders are read at once.
	orderPage = 1000
)

// ErrTooLong: a history file has more purchases than can be grouped.
var ErrTooLong = errors.New("the history has more than 50,000,000 purchases")

// ParseHistory reads a file of purchases: a line for each, with customer and SKU, separated by a comma; what follows a
// second comma does not count. A customer's purchases stand in the order in which they were made, others' may stand
// between. A first line "customer,sku" is a heading. The baskets are in the order of first purchases.
func ParseHistory(r io.Reader) ([][]string, error) {
	places := map[string]int{}
	var baskets [][]string
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	purchases := 0
	for n := 1; lines.Scan(); n++ {
		customer, rest, found := strings.Cut(strings.TrimSpace(lines.Text()), ",")
		sku, _, _ := strings.Cut(rest, ",")
		customer, sku = strings.TrimSpace(customer), strings.TrimSpace(sku)
		if n == 1 && customer == "customer" && sku == "sku" || customer == "" && !found {
			continue
		}
		if customer == "" || len(customer) > maxCustomer || !validSKU(sku) {
			return nil, fmt.Errorf("line %d is no purchase: it must have a customer and an SKU", n)
		}
		if purchases++; purchases > maxPurchases {
			return nil, ErrTooLong
		}
		place, known := places[customer]
		if !known {
			place = len(baskets)
			places[customer], baskets = place, append(baskets, nil)
		}
		baskets[place] = append(baskets[place], sku)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	return baskets, nil
}

// cursor is behind the order that was read last.
type cursor struct {
	customer string
	placed   time.Time
	order    string
}

// bought line of an order.
type bought struct {
	cursor
	sku string
}

// History of all regions' orders that were paid, a basket a customer. What goes wrong ends it, and stands in *failed.
func History(ctx context.Context, customers *sqldb.DB, failed *error) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for _, ring := range ident.Regions() {
			if *failed = historyOf(ctx, customers, ring, yield); *failed != nil {
				if errors.Is(*failed, errEnough) {
					*failed = nil
				}
				return
			}
		}
	}
}

// errEnough: whoever reads wants no more.
var errEnough = errors.New("enough")

func historyOf(ctx context.Context, customers *sqldb.DB, ring ident.Region, yield func([]string) bool) error {
	var after cursor
	var basket []string
	for {
		page, err := readPurchases(ctx, customers, ring, after, orderPage)
		if err != nil {
			return fmt.Errorf("history of %s: %w", ring, err)
		}
		for _, b := range page {
			if b.customer != after.customer && len(basket) > 0 {
				if !yield(slices.Clone(basket)) {
					return errEnough
				}
				basket = basket[:0]
			}
			after, basket = b.cursor, append(basket, b.sku)
		}
		if len(page) == 0 {
			if len(basket) > 0 && !yield(basket) {
				return errEnough
			}
			return nil
		}
	}
}
