package cart

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// model is one cart, kept by the plainest code that can be thought of.
type model struct {
	lines  map[string]Line
	causes map[string]string // with the answer that was given
}

func (m *model) rows() string {
	var all []string
	for _, l := range m.lines {
		all = append(all, fmt.Sprintf("%s×%d at %d %s since %d", l.SKU, l.Quantity, l.PriceAtAdd.Minor, l.PriceAtAdd.Currency, l.AddedAt.Unix()))
	}
	for cause := range m.causes {
		all = append(all, cause)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// oldestFirst lines.
func (m *model) oldestFirst() (lines []Line) {
	for _, l := range m.lines {
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b Line) int {
		if c := a.AddedAt.Compare(b.AddedAt); c != 0 {
			return c
		}
		return strings.Compare(a.SKU, b.SKU)
	})
	return lines
}

// shown is the cart as a shopper sees it.
func (m *model) shown(prices map[string]int64) string {
	var out strings.Builder
	var subtotal int64
	for _, l := range m.oldestFirst() {
		cents, sold := prices[l.SKU]
		title := ""
		if sold {
			title = finest(l.SKU)
			subtotal += cents * l.Quantity
		}
		_, _ = fmt.Fprintf(&out, "%s %q ×%d was %d is %d %v\n", l.SKU, title, l.Quantity, l.PriceAtAdd.Minor, cents, sold)
	}
	_, _ = fmt.Fprintf(&out, "%d USD", subtotal)
	return out.String()
}

func shown(c *cartv1.Cart) string {
	var out strings.Builder
	for _, l := range c.GetLines() {
		_, _ = fmt.Fprintf(&out, "%s %q ×%d was %d is %d %v\n", l.GetSku(), l.GetTitle(), l.GetQuantity(),
			l.GetPriceAtAdd().GetMinorUnits(), l.GetPrice().GetMinorUnits(), l.GetAvailableForSale())
	}
	_, _ = fmt.Fprintf(&out, "%d %s", c.GetSubtotal().GetMinorUnits(), c.GetSubtotal().GetCurrencyCode())
	return out.String()
}

// machine drives the carts of a customer and two guests, and a model of each.
type machine struct {
	world
	customer ident.CustomerID
	all      []ident.CustomerID
	orders   []ident.OrderID
	models   map[ident.CustomerID]*model
}

var skus = []string{"ale", "port", "rum"}

func TestEveryCommandDoesWhatTheModelDoes(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			world: onDB(db, fencetest.Owner(db, "us-east-1")), customer: newCustomer(),
			orders: []ident.OrderID{ident.NewOrder("use1"), ident.NewOrder("use1")}, models: map[ident.CustomerID]*model{},
		}
		m.all = []ident.CustomerID{m.customer, newGuest(), newGuest()}
		for _, id := range m.all {
			m.models[id] = &model{lines: map[string]Line{}, causes: map[string]string{}}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": m.addSome, "add more": m.addSome, // twice, so that it comes twice as often
			"set": m.setSome, "remove": m.removeSome, "merge": m.mergeSome, "bought": m.buySome,
			"price": func(t *rapid.T) {
				m.shelf.price(rapid.SampledFrom(skus).Draw(t, "sku"), rapid.SampledFrom([]int64{-1, 0, 7, 500, 99_999}).Draw(t, "cents"))
			},
			"time passes": func(*rapid.T) { m.clock.Advance(time.Minute) },
			"":            m.check,
		})
	})
}

func (m *machine) draw(t *rapid.T) (ident.CustomerID, *model, string) {
	id := rapid.SampledFrom(m.all).Draw(t, "cart")
	return id, m.models[id], rapid.SampledFrom(skus).Draw(t, "sku")
}

// line as it is after a quantity was added at today's price.
func (m *machine) line(had Line, sku string, quantity int64) Line {
	l := Line{SKU: sku, Quantity: quantity, AddedAt: m.clock.Now()}
	l.PriceAtAdd.Minor, l.PriceAtAdd.Currency = m.shelf.prices[sku], "USD"
	if had.Quantity > 0 {
		l.AddedAt = had.AddedAt
	}
	return l
}

func (m *machine) addSome(t *rapid.T) {
	id, model, sku := m.draw(t)
	asked := rapid.SampledFrom([]int64{0, 1, 2, 500, 998, 999}).Draw(t, "quantity")
	resp, err := m.AddItem(as(id), &cartv1.AddItemRequest{Sku: sku, Quantity: asked})
	had := model.lines[sku]
	quantity := had.Quantity + max(asked, 1)
	if _, sold := m.shelf.prices[sku]; !sold {
		refused(t, err, problem.NotFound, "UNKNOWN_PRODUCT")
		return
	}
	if quantity > 999 {
		refused(t, err, problem.Precondition, "QUANTITY_LIMIT")
		return
	}
	must(t, err)
	model.lines[sku] = m.line(had, sku, quantity)
	same(t, "added", shown(resp.GetCart()), model.shown(m.shelf.prices))
}

func (m *machine) setSome(t *rapid.T) {
	id, model, sku := m.draw(t)
	quantity := rapid.SampledFrom([]int64{0, 1, 7, 999}).Draw(t, "quantity")
	resp, err := m.SetQuantity(as(id), &cartv1.SetQuantityRequest{Sku: sku, Quantity: quantity})
	if _, sold := m.shelf.prices[sku]; !sold && quantity > 0 {
		refused(t, err, problem.NotFound, "UNKNOWN_PRODUCT")
		return
	}
	must(t, err)
	if quantity == 0 {
		delete(model.lines, sku)
	} else {
		model.lines[sku] = m.line(model.lines[sku], sku, quantity)
	}
	same(t, "set", shown(resp.GetCart()), model.shown(m.shelf.prices))
}

func (m *machine) removeSome(t *rapid.T) {
	id, model, sku := m.draw(t)
	resp, err := m.RemoveItem(as(id), &cartv1.RemoveItemRequest{Sku: sku})
	must(t, err)
	delete(model.lines, sku)
	same(t, "removed", shown(resp.GetCart()), model.shown(m.shelf.prices))
}

func (m *machine) mergeSome(t *rapid.T) {
	guest := rapid.SampledFrom(m.all[1:]).Draw(t, "guest")
	own, theirs, cause := m.models[m.customer], m.models[guest], "merge/"+string(guest)
	got, err := m.merge(m.customer, guest)
	must(t, err)
	answer, before := own.causes[cause]
	if before {
		same(t, "merged again", got, answer)
		return
	}
	var want []string
	for _, g := range theirs.oldestFirst() {
		l, known := own.lines[g.SKU]
		if g.Quantity > l.Quantity {
			since := m.clock.Now()
			if known {
				since = l.AddedAt
			}
			own.lines[g.SKU] = Line{SKU: g.SKU, Quantity: g.Quantity, PriceAtAdd: g.PriceAtAdd, AddedAt: since}
		}
		want = append(want, fmt.Sprintf("%s %d→%d", g.SKU, g.Quantity, own.lines[g.SKU].Quantity))
	}
	own.causes[cause] = strings.Join(want, " ")
	same(t, "merged", got, own.causes[cause])
}

func (m *machine) buySome(t *rapid.T) {
	id, model, _ := m.draw(t)
	order := rapid.SampledFrom(m.orders).Draw(t, "order")
	var pairs []any
	for range rapid.IntRange(1, 4).Draw(t, "lines") { // a product may come twice
		pairs = append(pairs, rapid.SampledFrom(skus).Draw(t, "bought"), rapid.SampledFrom([]int{1, 2, 7, 500, 999}).Draw(t, "quantity"))
	}
	must(t, m.bought(id, order, pairs...))
	cause := "order/" + string(order)
	if _, before := model.causes[cause]; before {
		return
	}
	model.causes[cause] = ""
	for i := 0; i < len(pairs); i += 2 {
		l := model.lines[pairs[i].(string)]
		if l.Quantity -= int64(pairs[i+1].(int)); l.Quantity > 0 {
			model.lines[l.SKU] = l
		} else {
			delete(model.lines, pairs[i].(string))
		}
	}
}

// check compares the rows, and what is shown, after each step.
func (m *machine) check(t *rapid.T) {
	for _, id := range m.all {
		same(t, "rows of "+string(id), rowsOf(t, m.db, id), m.models[id].rows())
		resp, err := m.GetCart(as(id), &cartv1.GetCartRequest{})
		must(t, err)
		read, err := m.ReadCart(context.Background(), &cartv1.ReadCartRequest{CustomerId: string(id)})
		must(t, err)
		for _, c := range []*cartv1.Cart{resp.GetCart(), read.GetCart()} {
			same(t, "customer", c.GetCustomerId(), string(id))
			same(t, "cart of "+string(id), shown(c), m.models[id].shown(m.shelf.prices))
		}
	}
}
