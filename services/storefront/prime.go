package storefront

import (
	"slices"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
)

// primeShare tells how much of an order is Prime: its delivery is free if All of it is.
type primeShare struct{ Some, All bool }

// primeOf an order's lines.
func primeOf[L interface{ GetPrime() bool }](lines []L) primeShare {
	isPrime := func(l L) bool { return l.GetPrime() }
	isNot := func(l L) bool { return !l.GetPrime() }
	some := slices.ContainsFunc(lines, isPrime)
	return primeShare{Some: some, All: some && !slices.ContainsFunc(lines, isNot)}
}

// primeOfCart if it is ordered: without what is no longer sold.
func primeOfCart(c *cartv1.Cart) primeShare {
	return primeOf(slices.DeleteFunc(slices.Clone(c.GetLines()), func(l *cartv1.Line) bool { return !l.GetAvailableForSale() }))
}
