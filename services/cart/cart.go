package cart

import (
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxQuantity of one line, and maxLines of a cart: what an order may have. As many lines may be saved.
	maxQuantity = 999
	maxLines    = 200
)

// Line of a cart, as stored.
type Line struct {
	SKU        string
	Quantity   int64
	PriceAtAdd money.Amount
	AddedAt    time.Time
}

// Merged is what became of one product of a guest's cart.
type Merged struct {
	SKU           string
	GuestQuantity int64
	Quantity      int64
}

// merge a guest's lines into a customer's: per product the larger quantity stays, with the guest's price if it was the
// guest's. Products for which there is no room any more are left out; their quantity is 0. Gives the lines to be
// written, and what became of every line of the guest's.
func merge(own, guest []Line, now time.Time) (write []Line, merged []Merged) {
	all := bySKU(own)
	for _, g := range guest {
		have, known := all[g.SKU]
		result := Merged{SKU: g.SKU, GuestQuantity: g.Quantity, Quantity: max(have.Quantity, min(g.Quantity, maxQuantity))}
		switch {
		case !known && len(all) >= maxLines:
			result.Quantity = 0
		case result.Quantity > have.Quantity:
			line := Line{SKU: g.SKU, Quantity: result.Quantity, PriceAtAdd: g.PriceAtAdd, AddedAt: now}
			if known {
				line.AddedAt = have.AddedAt
			}
			all[g.SKU] = line
			write = append(write, line)
		}
		merged = append(merged, result)
	}
	return write, merged
}

func bySKU(lines []Line) map[string]Line {
	all := make(map[string]Line, len(lines))
	for _, l := range lines {
		all[l.SKU] = l
	}
	return all
}

// Causes of changes that count once.
func causeMerge(guest ident.CustomerID) string { return "merge/" + string(guest) }
func causeOrder(order ident.OrderID) string    { return "order/" + string(order) }

func quantityLimit() error {
	return problem.New(problem.Precondition, "QUANTITY_LIMIT", "a line of a cart has at most 999 units")
}

func productWithdrawn() error {
	return problem.New(problem.Precondition, "PRODUCT_WITHDRAWN", "the product is not sold any more")
}

func unknownLine() error {
	return problem.New(problem.NotFound, "UNKNOWN_LINE", "there is no such line")
}

func savedFull() error {
	return problem.New(problem.Precondition, "SAVED_FULL", "at most 200 products are saved for later")
}

func cartFull() error {
	return problem.New(problem.Precondition, "CART_FULL", "a cart has at most 200 products")
}
